"""Visible results: figures, tables and pages."""
