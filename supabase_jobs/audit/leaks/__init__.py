"""Outcomes that are wrong on any schema: one module for each kind, as in docs/leaks.md."""
