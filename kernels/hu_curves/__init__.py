"""HU to density curves."""
