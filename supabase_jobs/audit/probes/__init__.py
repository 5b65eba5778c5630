"""Statements run as each caller on the generated rows."""
