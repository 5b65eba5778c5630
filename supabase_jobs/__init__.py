"""Versioned SQL for Supabase, carried to a database and proved there."""
