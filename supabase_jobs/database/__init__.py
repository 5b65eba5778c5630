"""Connections to PostgreSQL, and the SQL files that run on them."""
