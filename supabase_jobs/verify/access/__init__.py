"""The access area: which identity may do what with whose rows.

`matrix` reads access.toml, `cells` runs and judges every cell, `probe` runs one statement,
`privileges` looks for undeclared privileges, and `http` repeats the cells through the API.
"""

from supabase_jobs.verify.areas import ACCESS as AREA

__all__ = ["AREA"]
