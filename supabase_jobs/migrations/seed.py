"""Seed files, which `supabase db reset` runs after the migrations."""

from collections.abc import Sequence

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.migrations.transaction import (
    BEGIN,
    Command,
    Step,
    explain_lost_transaction,
    send,
)
from supabase_jobs.sources.files import Migration


def apply_seeds(connection: Connection, seeds: Sequence[Migration]) -> None:
    """Run each file in a transaction, without a row in the ledger.

    Raises MigrationError (6) with file and line if a statement fails, and ConnectError (7) if the
    connection is lost.
    """
    for seed in seeds:
        statements = [
            Command(Statement(s.text, decoded=False), Step.FILE, seed, s)
            for s in seed.executable_statements
        ]
        with explain_lost_transaction(connection, seed):
            send(
                connection,
                [Command(BEGIN), *statements, Command(Statement("commit"), migration=seed)],
            )
