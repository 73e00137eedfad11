"""What the documents claim, one module per document, and when each claim holds."""
