"""Workers on an engine: the engine places them, the database gives them trials, and the fleet keeps their number."""
