"""Operations on a database with the migrations: cleanup, migrate_guest, stats, check_results.

Their statements are in `sql/`; only these name tables and functions.
"""
