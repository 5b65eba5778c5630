"""HTTP API of a Supabase project: its URL and its keys."""
