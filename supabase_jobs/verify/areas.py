"""`verify` as one call: every area that was asked for, in one transaction that is rolled back."""

import time
from collections.abc import Mapping, Sequence

from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Finding, Grid, Verification
from supabase_jobs.verify import access, declaration, structure

AREAS = (structure.AREA, access.AREA)

# A faulty policy can make a probe reach every row of a large table: then it is cut short, and its
# locks go with it. Neither value is ever met on a healthy database.
_LIMITS = """
select
  set_config('search_path', '', true),
  set_config('statement_timeout', '10s', true),
  set_config('lock_timeout', '2s', true)
"""


def parse(only: str | None) -> tuple[str, ...]:
    """The areas named in a comma-separated list, in the order they run; all for None. ConfigError for others."""
    if only is None:
        return AREAS
    wanted = {part.strip() for part in only.split(",") if part.strip()}
    if unknown := wanted - set(AREAS):
        raise ConfigError(f"--only: unknown area {min(unknown)!r}", hint=f"Areas: {', '.join(AREAS)}.")
    if not wanted:
        raise ConfigError("--only: no area named", hint=f"Areas: {', '.join(AREAS)}.")
    return tuple(area for area in AREAS if area in wanted)


def verify(connection: Connection, variables: Mapping[str, object], areas: Sequence[str] = AREAS) -> Verification:
    """Check a live database and leave no trace: everything happens in a transaction that is rolled back.

    `variables` are the values of the SQL sources' variables; the access matrix sends the guest header
    that they name. Takes no lock stronger than a row lock.
    """
    started = time.monotonic()
    findings: list[Finding] = []
    grids: list[Grid] = []
    checks = 0
    with connection.transaction(force_rollback=True):
        connection.execute(_LIMITS)
        if structure.AREA in areas:
            found, checks = structure.run(connection, structure.load())
            findings += found
        if access.AREA in areas:
            result = access.run(connection, declaration.load(), variables)
            findings += result.findings
            grids += result.grids
            checks += result.checks
    return Verification(tuple(findings), checks, (time.monotonic() - started) * 1000, tuple(grids))
