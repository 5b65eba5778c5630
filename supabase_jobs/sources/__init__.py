"""The SQL sources in `sql/`, rendered to Supabase migration files."""
