"""Training functions of users: the trial they get, the processes they run in, and the limits of these."""
