"""Compiled numerics: plain arrays in, plain arrays out."""
