"""hpsearch: a hyperparameter-search service that tells you why trials die."""

__version__ = "0.2.0"
