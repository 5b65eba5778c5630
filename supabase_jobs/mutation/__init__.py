"""Mutation testing: plant faults in a database and see which of them `verify` finds."""
