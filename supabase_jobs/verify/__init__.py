"""Check a live database against the SQL sources and their declarations."""
