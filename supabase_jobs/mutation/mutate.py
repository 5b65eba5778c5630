"""Mutation testing of `verify`: inject one fault at a time into a database, run `verify`, and roll
back.

Each file in `mutation/operators/` derives a family of faults from the catalogs, for the object
names in `$1`, and selects the parts of the id, object, description, SQL and, in some families, the
change alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby, repeat
from pathlib import Path

import psycopg
from psycopg.errors import InsufficientPrivilege

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.database.conninfo import read
from supabase_jobs.database.errors import (
    INCONCLUSIVE_ERRORS,
    public_message,
    sqlstate_and_message,
)
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.errors import ConfigError, PrivilegeError, VerificationError
from supabase_jobs.findings import (
    APPLY_FIRST,
    Fault,
    Finding,
    Mutant,
    MutationResult,
    Severity,
)
from supabase_jobs.local.embedded import is_embedded
from supabase_jobs.mutation.quick import Quick
from supabase_jobs.session.savepoint import rolled_back
from supabase_jobs.settings import read_toml, validate_toml
from supabase_jobs.verify import structure
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import catalog, snapshot
from supabase_jobs.verify.verify import verify

WAIVERS = "waivers.toml"


_HERE = Path(__file__).parent
_OPERATORS = _HERE / "operators"
_SCHEMA = _HERE / "waivers.schema.json"
# An empty search_path qualifies the names in expressions.
_SETTINGS = """select
  set_config('search_path', '', true), set_config('jit', 'off', true),
  set_config('lock_timeout', (1000 * extract(epoch from
    least(nullif(current_setting('lock_timeout'), '0')::interval, '2s')))::int::text, true)"""
_MAX_KILLERS = 5  # ids of findings that a mutant lists


Progress = Callable[[str], AbstractContextManager[None]]


def refuse_remote(url: str) -> None:
    """Raise ConfigError (2) if the URL, with libpq's defaults, does not lead to an embedded server.

    A port of this machine may be forwarded, so the server decides. Raises what `connect` raises.
    """
    address = read(url).address
    if address.is_local:
        with connect(url) as connection:
            if is_embedded(connection):
                return
    raise ConfigError(
        f"mutate injects faults into the database, and {address} is not an embedded server of"
        " supabase-jobs",
        hint="Every fault is rolled back, but holds locks until then. For a database that nobody"
        " uses, such as the one of supabase start, pass --allow-remote.",
    )


def waivers(expectations: Expectations) -> Mapping[str, str]:
    """The waivers (fault id → reason) of waivers.toml. Raises ConfigError (2) for a file that
    deviates from its schema, such as a waiver without a reason.
    """
    path = expectations.declaration(WAIVERS)
    if not path.is_file():
        return {}
    toml = read_toml(path)
    if expectations.directory is not None:
        validate_toml(path, toml, _SCHEMA)
    return dict(toml.get("waivers", {}))


def derive(connection: Connection, names: Sequence[str]) -> list[Fault]:
    """All faults of the objects with these names, by family. Needs an empty search_path; only reads
    catalogs.
    """
    faults = []
    for stem, file in sql_files(_OPERATORS).items():
        rows = file.rows(connection, list(names))
        derived = [_fault(stem, *row) for row in rows]
        faults += sorted(derived, key=lambda fault: fault.id)
    return faults


def _fault(
    family: str, parts: Sequence[str], name: str, description: str, sql: str, change: str = ""
) -> Fault:
    """A row of an operator file as a fault."""
    return Fault(
        family=family,
        parts=tuple(parts),
        object=name,
        description=description,
        sql=sql,
        change=change,
    )


def mutate(
    connection: Connection,
    expectations: Expectations,
    areas: Sequence[str] = AREAS,
    *,
    progress: Progress = lambda _line: nullcontext(),
    advance: Callable[[int, int], None] = lambda _number, _total: None,
) -> MutationResult:
    """Inject every fault, run these areas of `verify` on it, and roll it back.

    Raises VerificationError (1) if `verify` finds an error before the first fault, ConfigError (2)
    if the sources have no recorded structure, PrivilegeError (7) if the role may inject no fault,
    and psycopg's errors if the connection is lost or another session holds a conflicting lock.
    """
    recorded = snapshot.load(expectations.declaration(snapshot.FILE_NAME)).with_variables(
        expectations.variables
    )
    reasons = waivers(expectations)
    mutants: list[Mutant] = []
    not_injected: list[tuple[Fault, _NotInjectedError]] = []
    with rolled_back(connection, Statement(_SETTINGS)), catalog.prepared(connection):
        faults = derive(connection, recorded.names)
        _check_no_errors(connection, expectations, areas, faults)
        quick = _quick(connection, expectations, areas, recorded)
        for family, group in groupby(faults, key=lambda fault: fault.family):
            family_faults = list(group)
            with progress(f"{family}: {len(family_faults)} faults"):
                found = quick.killers(family_faults) if quick else repeat(())
                for fault, killers in zip(family_faults, found, strict=False):
                    advance(len(mutants) + len(not_injected) + 1, len(faults))
                    try:
                        by = killers[:_MAX_KILLERS] or _killers(
                            connection, expectations, areas, fault
                        )
                        mutants.append(Mutant(fault, by, reasons.get(fault.id)))
                    except _NotInjectedError as error:
                        not_injected.append((fault, error))
    if not mutants:
        _check_privileges(connection, [one.error for _, one in not_injected])
    rejected = tuple((fault, str(error)) for fault, error in not_injected)
    return MutationResult(tuple(mutants), rejected)


def _quick(
    connection: Connection,
    expectations: Expectations,
    areas: Sequence[str],
    recorded: snapshot.Snapshot,
) -> Quick | None:
    """The check that kills most mutants; None without the structure area, or if entries allow its
    findings.
    """
    if structure.AREA not in areas or any(expectations.allowed.values()):
        return None
    return Quick(connection, expectations, recorded)


class _NotInjectedError(Exception):
    """The database rejected the SQL of a fault."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(sqlstate_and_message(error))
        self.error = error


def _killers(
    connection: Connection, expectations: Expectations, areas: Sequence[str], fault: Fault
) -> tuple[str, ...]:
    """The ids of the first errors that `verify` finds after the fault."""
    with rolled_back(connection):
        try:
            with connection.transaction():
                connection.execute(fault.sql.encode())
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if connection.broken:
                raise
            raise _NotInjectedError(error) from error
        try:
            errors = next(_errors(connection, expectations, areas), ())
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if connection.broken:
                raise
            return (f"verify failed with {error.sqlstate}",)  # it did not pass
    return tuple(f.id for f in errors[:_MAX_KILLERS])


def _errors(
    connection: Connection, expectations: Expectations, areas: Sequence[str]
) -> Iterator[Sequence[Finding]]:
    """The errors of each area that has any; the fastest areas come first, and most faults need no
    other.

    Errors that the access matrix may downgrade count only after a run of all areas together.
    """
    downgradable = False
    for area in areas:
        result = verify(connection, expectations, (area,), repeated=True)
        errors = [f for f in result.findings if f.severity is Severity.ERROR]
        if certain := [f for f in errors if f.id not in result.downgradable]:
            yield certain
        downgradable = downgradable or bool(errors)
    if downgradable:
        result = verify(connection, expectations, areas, repeated=True)
        if errors := [f for f in result.findings if f.severity is Severity.ERROR]:
            yield errors


def _check_no_errors(
    connection: Connection,
    expectations: Expectations,
    areas: Sequence[str],
    faults: Sequence[Fault],
) -> None:
    """Raise VerificationError for an error; without any managed object there are no faults."""
    for errors in _errors(connection, expectations, areas):
        raise VerificationError(
            f"verify finds an error before the first fault: {errors[0].id}",
            hint="Run supabase-jobs verify, and fix what it reports." if faults else APPLY_FIRST,
        )


def _check_privileges(connection: Connection, errors: Sequence[psycopg.Error]) -> None:
    """Raise PrivilegeError if the role lacked a privilege for every fault."""
    if errors and all(isinstance(error, InsufficientPrivilege) for error in errors):
        raise PrivilegeError(
            f"the role {connection.info.user} may not inject faults: {public_message(errors[0])}",
            hint="Connect as the role that owns the objects: postgres on Supabase.",
            sqlstate=InsufficientPrivilege.sqlstate,
        )
