"""The loop that drives cohorts, diagnosis, search and the database; starting many of them."""
