"""The experiments of the documents that hpsearch was made from: what is claimed beside what is measured."""
