"""Trained models taken out of a study: fit again, verify, predict, export."""
