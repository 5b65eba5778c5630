"""Versioned SQL for Supabase, carried to a database and proved there.

PYTEST_DONT_REWRITE: a pytest that is started by a program which has loaded this package does not warn of it.
"""
