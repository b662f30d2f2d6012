"""Machine models as data."""
