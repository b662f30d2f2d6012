"""Thin extracts of the EGSnrc reference doses."""
