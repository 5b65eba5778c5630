"""Migration files and the database: plan, apply, dry run, status."""
