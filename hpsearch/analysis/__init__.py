"""Conclusions from a finished search: certainty of the best results, causes of failures, suggested changes."""
