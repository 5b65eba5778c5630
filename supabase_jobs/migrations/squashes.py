"""Migrations that stand for several others: the header that names them, and their ledger rows."""

import re
from collections.abc import Iterable, Sequence

from supabase_jobs.migrations.drift import meanings, whole_statements
from supabase_jobs.migrations.ledger import LedgerRow
from supabase_jobs.sources.files import Migration, fingerprint

_HEADER = re.compile(
    r"\ufeff?-- supabase-jobs: squash of ([0-9 ]+) sha256:([0-9a-f]{64})\r?(?:\n|$)"
)


def header(versions: Sequence[str], body: str) -> str:
    """The first line of a squash: the versions of the files that it stands for."""
    migration = Migration("", "", body, "")
    digest = _digest(statement.text for statement in migration.statements)
    return f"-- supabase-jobs: squash of {' '.join(versions)} sha256:{digest}\n"


def squashed_as(rows: Iterable[LedgerRow]) -> dict[str, str]:
    """Each version that a squash in the ledger stands for, with the version of the squash."""
    return {version: row.version for row in rows for version in squashed_versions(row)}


def squashed_versions(row: LedgerRow) -> tuple[str, ...]:
    """The versions that a row stands for; none if it is no squash, or its statements were edited.

    A squash has been proven to do the same as the files with these versions.
    """
    statements = whole_statements(row.statements or ())
    found = _HEADER.match(statements[0]) if statements else None
    if found is None or _digest(statements) != found[2]:
        return ()
    return tuple(found[1].split())


def _digest(statements: Iterable[str]) -> str:
    return fingerprint("\n".join(meanings(list(statements))))
