"""What each figure shows, as records that can be tested without drawing anything."""
