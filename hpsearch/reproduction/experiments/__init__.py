"""The measurements of each study: one module per document, one function per study."""
