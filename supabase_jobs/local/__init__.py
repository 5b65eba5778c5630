"""Embedded PostgreSQL server of a directory, prepared as a Supabase project, with an optional REST
API.

For development and tests: the server runs with `fsync = off`, so a crash of the machine may lose
its data.
"""
