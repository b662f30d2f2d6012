"""The dose for the eye and for the record: tables, pictures, run records."""
