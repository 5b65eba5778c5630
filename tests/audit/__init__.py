"""Tests of supabase_jobs.audit."""
