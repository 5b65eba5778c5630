"""Migration files and the ledger: plan, status, apply, dry run."""
