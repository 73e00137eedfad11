"""The meaning of telemetry: one pure function per cause, and the verdict."""
