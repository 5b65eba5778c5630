"""The embedded PostgreSQL server of a directory, and a database in it that looks like a Supabase project.

The server is for development and tests: it runs with `fsync = off`, so its data is throwaway. Nothing is
imported here; `server` starts and stops, `platform` makes the database.
"""
