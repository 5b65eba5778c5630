"""`verify` as one call: every area that was asked for, in one transaction that is rolled back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from supabase_jobs import syntax
from supabase_jobs.database import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Finding, Grid, Severity, Verification
from supabase_jobs.project import Promise
from supabase_jobs.verify import access, declaration, structure

AREAS = (structure.AREA, access.AREA)

# So that no probe stands behind somebody else's lock for long; never met where nobody holds one.
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


def verify(connection: Connection, promise: Promise, areas: Sequence[str] = AREAS) -> Verification:
    """Check a live database and leave no trace: everything happens in a transaction that is rolled back.

    Takes no lock stronger than a row lock. An area whose declarations the sources do not bring along, or
    whose test rows cannot be planted, is among `unchecked`, with a warning that says why: never passed.
    """
    started = time.monotonic()
    result = Collected()
    with connection.transaction(force_rollback=True):
        connection.execute(_LIMITS)
        for area in areas:
            _RUN[area](connection, promise, result)
    return Verification(
        tuple(result.findings),
        result.checks,
        (time.monotonic() - started) * 1000,
        tuple(result.grids),
        tuple(result.unchecked),
    )


@dataclass
class Collected:
    """What the areas have found so far."""

    findings: list[Finding] = field(default_factory=list)
    grids: list[Grid] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    checks: int = 0


def _structure(connection: Connection, promise: Promise, result: Collected) -> None:
    file = _declared(structure.AREA, promise, structure.DEFAULT_FILE, result)
    if file is None:
        return
    bodies = {name: body for text in promise.texts for name, body in syntax.function_bodies(text).items()}
    for found, checks in (
        structure.run(connection, structure.load(file)),
        structure.run_bodies(connection, bodies),
    ):
        result.findings += found
        result.checks += checks


def _access(connection: Connection, promise: Promise, result: Collected) -> None:
    file = _declared(access.AREA, promise, declaration.DEFAULT_FILE, result)
    if file is None:
        return
    seen = access.run(connection, declaration.load(file), promise.variables)
    result.findings += seen.findings
    result.grids += seen.grids
    result.checks += seen.checks
    if not seen.grids:
        result.unchecked.append(access.AREA)


_RUN = {structure.AREA: _structure, access.AREA: _access}


def _declared(area: str, promise: Promise, packaged: Path, result: Collected) -> Path | None:
    """The file that declares an area: the packaged one, or the one of the same name beside other sources."""
    if promise.directory is None:
        return packaged
    file = promise.directory / packaged.name
    if file.is_file():
        return file
    result.unchecked.append(area)
    result.findings.append(
        Finding(
            id=f"{area}:undeclared",
            area=area,
            severity=Severity.WARNING,
            object=packaged.name,
            message=f"{area} was not checked: {promise.directory} has no {packaged.name}",
            fix=f"Declare what the sources promise in {file}.",
        )
    )
    return None
