"""Query plans: each fast query can use its index, and policies evaluate the owner check once per
query.
"""

from supabase_jobs.verify.areas import PLANS as AREA

__all__ = ["AREA"]
