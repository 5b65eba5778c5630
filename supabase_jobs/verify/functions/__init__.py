"""Scenarios of functions, triggers and cascades, judged by the rows that change."""

from supabase_jobs.verify.areas import FUNCTIONS as AREA

__all__ = ["AREA"]
