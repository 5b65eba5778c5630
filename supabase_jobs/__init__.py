"""Versioned SQL migrations for Supabase, and their verification on the live database.

PYTEST_DONT_REWRITE: pytest does not warn if the package was imported before its plugin.
"""
