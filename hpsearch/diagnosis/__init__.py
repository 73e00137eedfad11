"""What telemetry means: one pure function per cause, and the verdict."""
