"""HTTP API of a Supabase project: its URL, its keys, and requests to it."""
