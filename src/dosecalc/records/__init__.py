"""What was calculated from what: run records, decisions on them, and their reproduction."""
