"""The command line: one module per noun, a few lines per command."""
