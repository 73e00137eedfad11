"""Cohorts: trials that are trained in lockstep, their rows and their telemetry."""
