"""Tables of the hand check of monitor units, as data."""
