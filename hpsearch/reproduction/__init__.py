"""The experiments of the documents on which hpsearch is based: each claim with its measurement."""
