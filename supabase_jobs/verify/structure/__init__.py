"""The area `structure`: the system catalogs compared with the recorded structure."""

from supabase_jobs.verify.areas import STRUCTURE as AREA

__all__ = ["AREA"]
