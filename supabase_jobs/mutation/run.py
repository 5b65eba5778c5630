"""Break a database on purpose, one fault at a time, and see whether `verify` notices: the test of the tests.

Every file in `mutation/operators/` derives one family of faults from the catalogs and answers in the same four
columns (id, object, description, SQL), so a new operator is a few more lines there. The engine knows no object
by name: which ones are broken stands in the recorded structure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psycopg

from supabase_jobs.database.connection import Connection
from supabase_jobs.database.conninfo import read
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.hosts import is_local
from supabase_jobs.database.sql_files import sql_files
from supabase_jobs.errors import ConfigError, VerificationError
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.settings import read_toml
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.run import AREAS, verify
from supabase_jobs.verify.structure import catalog, snapshot

WAIVERS = "waivers.toml"

_HERE = Path(__file__).parent
_OPERATORS = _HERE / "operators"
# So that names in expressions come out qualified, and no fault waits for somebody else's lock for long.
_PREPARE = """select
  set_config('search_path', '', true), set_config('lock_timeout', '2s', true), set_config('jit', 'off', true)"""
_SHOWN = 5  # findings by which a mutant was killed


@dataclass(frozen=True)
class Fault:
    """One way to break an object: SQL that does it. The id is `family:operator:object…`, stable between runs."""

    id: str
    object: str
    description: str
    sql: str

    @property
    def family(self) -> str:
        """The file of the operators that it comes from."""
        return self.id.partition(":")[0]


@dataclass(frozen=True)
class Mutant:
    """A fault that was planted. `by` holds the ids of the first findings that are errors; none: it survived."""

    fault: Fault
    by: tuple[str, ...]
    waived: str | None = None

    @property
    def killed(self) -> bool:
        """Whether `verify` found an error."""
        return bool(self.by)

    @property
    def survived(self) -> bool:
        """Whether nothing noticed it, and no reason is written down why nothing has to."""
        return not self.by and self.waived is None


@dataclass(frozen=True)
class Mutation:
    """What became of all faults; `not_planted` are those that the database refused, with its reason."""

    mutants: tuple[Mutant, ...]
    not_planted: tuple[tuple[Fault, str], ...]

    @property
    def killed(self) -> int:
        """How many mutants `verify` caught."""
        return sum(m.killed for m in self.mutants)

    @property
    def waived(self) -> tuple[Mutant, ...]:
        """The mutants that nothing caught and that are declared to be no fault."""
        return tuple(m for m in self.mutants if not m.killed and m.waived is not None)

    @property
    def survivors(self) -> tuple[Mutant, ...]:
        """The mutants that should have been caught."""
        return tuple(m for m in self.mutants if m.survived)


Progress = Callable[[str], AbstractContextManager[None]]


def refuse_remote(url: str) -> None:
    """ConfigError (2) where a URL, or whatever libpq fills it in with, leads to another machine."""
    address = read(url).address
    if not (is_local(address.host) and is_local(address.hostaddr)):
        raise ConfigError(
            f"mutate breaks the database on purpose, and {address} is not a local one",
            hint="Everything is rolled back, but locks out everybody else meanwhile. If it is a copy that nobody"
            " uses, say --allow-remote.",
        )


def waivers(expectations: Expectations) -> Mapping[str, str]:
    """Fault id → why it need not be caught: the packaged ones, or those of waivers.toml beside other sources.

    Raises ConfigError (2) for a waiver without a written reason.
    """
    path = expectations.declaration(WAIVERS)
    if not path.is_file():
        return {}
    found = read_toml(path).get("waivers", {})
    for name, reason in found.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigError(f"{WAIVERS}: {name!r} needs a reason", file=str(path))
    return dict(found)


def derive(connection: Connection, names: Sequence[str]) -> list[Fault]:
    """Every fault that the operators make of these objects, by family. Needs an empty search_path; only reads."""
    faults = []
    for stem, file in sql_files(_OPERATORS).items():
        rows = file.rows(connection, list(names))
        faults += [Fault(f"{stem}:{name}", *rest) for name, *rest in sorted(rows)]
    return faults


def mutate(
    connection: Connection,
    expectations: Expectations,
    wanted: Sequence[str] = AREAS,
    *,
    progress: Progress = lambda _line: nullcontext(),
) -> Mutation:
    """Plant every fault, run `verify` on it, and roll it back; nothing stays.

    Only the areas that are `wanted` may notice it. They have to find no error before: where they do, no fault would
    tell anything, and VerificationError (1) is raised. Raises ConfigError (2) where other sources than the packaged
    ones have no recorded structure, and psycopg's own errors where the connection is lost or another session's lock is
    in the way.
    """
    recorded = snapshot.load(expectations.declaration(snapshot.FILE_NAME))
    reasons = waivers(expectations)
    mutants: list[Mutant] = []
    refused: list[tuple[Fault, str]] = []
    with connection.transaction(force_rollback=True):
        connection.execute(_PREPARE)
        with catalog.prepared(connection):
            faults = derive(connection, [name for names in recorded.scope.values() for name in names])
            _must_be_sound(connection, expectations, wanted)
            for family, group in groupby(faults, key=lambda fault: fault.family):
                planned = list(group)
                with progress(f"{family}: {len(planned)} faults"):
                    for fault in planned:
                        try:
                            by = _killers(connection, expectations, wanted, fault)
                            mutants.append(Mutant(fault, by, reasons.get(fault.id)))
                        except _RefusedError as error:
                            refused.append((fault, str(error)))
    return Mutation(tuple(mutants), tuple(refused))


class _RefusedError(Exception):
    """The database did not let a fault in."""


def _killers(
    connection: Connection, expectations: Expectations, wanted: Sequence[str], fault: Fault
) -> tuple[str, ...]:
    with connection.transaction(force_rollback=True):
        try:
            with connection.transaction():
                connection.execute(fault.sql.encode())
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if connection.broken:
                raise
            raise _RefusedError(f"{error.sqlstate}: {error.diag.message_primary}") from error
        try:
            found = next(_errors(connection, expectations, wanted), ())
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            if connection.broken:
                raise
            return (f"verify failed with {error.sqlstate}",)  # and so did not pass
    return tuple(f.id for f in found[:_SHOWN])


def _errors(connection: Connection, expectations: Expectations, wanted: Sequence[str]) -> Iterator[Sequence[Finding]]:
    """The errors of each area that finds any; the quick areas come first, so that most faults need no other.

    What the access matrix can dispute is left out at first, and in the end asked of all areas together.
    """
    disputed = False
    for area in wanted:
        result = verify(connection, expectations, (area,), repeated=True)
        errors = [f for f in result.findings if f.severity is Severity.ERROR]
        if found := [f for f in errors if f.id not in result.downgradable]:
            yield found
        disputed = disputed or bool(errors)
    if disputed:
        result = verify(connection, expectations, wanted, repeated=True)
        if errors := [f for f in result.findings if f.severity is Severity.ERROR]:
            yield errors


def _must_be_sound(connection: Connection, expectations: Expectations, wanted: Sequence[str]) -> None:
    for found in _errors(connection, expectations, wanted):
        raise VerificationError(
            f"verify finds errors before anything was broken, {found[0].id} for one: no fault would tell anything",
            hint="Run supabase-jobs verify, and mend what it names.",
        )
