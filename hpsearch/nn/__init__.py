"""Computation: a multilayer perceptron in NumPy, with the trial axis K first."""
