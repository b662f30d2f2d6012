"""A list of cases, run one after the other into a table that can be resumed."""
