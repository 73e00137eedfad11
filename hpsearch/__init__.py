"""hpsearch: a hyperparameter-search service that explains why trials fail."""

__version__ = "0.2.0"
