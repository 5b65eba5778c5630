"""Mutation testing of `verify`: inject faults into a database and report which it detects."""
