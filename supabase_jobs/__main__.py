"""`python -m supabase_jobs`, the same as `supabase-jobs`."""

from supabase_jobs.cli import main

main()
