"""Kill mutants with the parts of the recorded structure that killed others of their operator, many
in a round trip.

A part is a catalog query of the structure area, or the bodies of the functions. The first mutant of
an operator reads all parts, the others those in which errors were found; the facts of the other
parts are taken as unchanged. If no error is found, a complete `verify` must tell.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Protocol

from supabase_jobs.database.batch import GroupResult, Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.parser.statements import split
from supabase_jobs.session.savepoint import run_undone
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import catalog, check
from supabase_jobs.verify.structure.catalog import Fact
from supabase_jobs.verify.structure.fixes import Fixes
from supabase_jobs.verify.structure.snapshot import Snapshot

# mutants in one round trip
_BATCH = 25

Rows = Sequence[tuple[Any, ...]]


class Planted(Protocol):
    """A fault: its operator, and its SQL."""

    @property
    def operator(self) -> str:
        """The family and the operator."""

    @property
    def sql(self) -> str:
        """The statements."""


class Quick:
    """Runs inside the transaction of `mutate`, on a database without errors, with the catalog
    queries prepared.
    """

    def __init__(
        self, connection: Connection, expectations: Expectations, snapshot: Snapshot
    ) -> None:
        self._connection, self._snapshot, self._texts = connection, snapshot, expectations.texts
        self._functions = check.migrated_functions(expectations)
        bodies, exposed = check.body_queries(self._functions)
        self._statements = [*catalog.execute_statements(tuple(snapshot.names)), bodies]
        self._bodies = len(self._statements) - 1
        *self._unchanged, exposed_rows = read(connection, [*self._statements, exposed])
        self._exposed = sorted(expectations.all_exposed_schemas(exposed_rows))
        self._fixes = Fixes(snapshot.facts, {}, expectations.texts)
        self._facts = [_facts(rows) for rows in self._unchanged[: self._bodies]]
        self._parts: dict[str, set[int]] = {}

    def killers(self, faults: Sequence[Planted]) -> Iterator[tuple[str, ...]]:
        """The ids of the errors that each fault causes; empty if a complete run must tell.

        Raises psycopg's errors if another session's lock blocks a statement.
        """
        for operator, group in groupby(faults, key=lambda fault: fault.operator):
            same = list(group)
            found: dict[int, tuple[str, ...]] = {}
            parts = self._parts.setdefault(operator, set())
            waiting = list(range(len(same)))
            while waiting:
                if parts:
                    found |= self._run(same, waiting, sorted(parts), parts)
                    waiting = [at for at in waiting if not found[at]]
                known = len(parts)
                while waiting and len(parts) == known:
                    found |= self._run(same, waiting[:1], range(len(self._statements)), parts)
                    del waiting[0]
            yield from (found[at] for at in range(len(same)))

    def _run(
        self,
        faults: Sequence[Planted],
        chosen: Sequence[int],
        parts: Sequence[int],
        learned: set[int],
    ) -> dict[int, tuple[str, ...]]:
        """The errors of the chosen faults in some parts, by their places."""
        found = {}
        queries = [self._statements[part] for part in parts]
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            groups = [[*_statements(faults[at]), *queries] for at in batch]
            results = run_undone(self._connection, groups)
            for at, result in zip(batch, results, strict=True):
                found[at], places = self._errors(parts, result)
                learned |= places
        return found

    def _errors(
        self, parts: Sequence[int], result: GroupResult
    ) -> tuple[tuple[str, ...], set[int]]:
        """The ids of the errors, and the parts in which they were found."""
        if isinstance(result.error, INCONCLUSIVE_ERRORS):
            raise result.error
        if result.error is not None:  # the fault or a query failed
            return (), set()
        rows = dict(
            zip(parts, (answer.rows for answer in result.answers[-len(parts) :]), strict=True)
        )
        changed = {
            part for part, found in rows.items() if list(found) != list(self._unchanged[part])
        }
        facts = changed - {self._bodies}
        context = Context(repeated=True)
        if facts:
            new = {part: _facts(rows[part]) for part in facts}
            actual = [fact for part, old in enumerate(self._facts) for fact in new.get(part, old)]
            check.compare_facts(actual, self._snapshot, context, self._texts)
            if context.errors:
                ids = {finding.id for finding in context.errors}
                places = {part for part in facts if _ids(self._facts[part], new[part]) & ids}
                return tuple(finding.id for finding in context.errors), places
        if context.equivalence.needed or self._bodies not in changed:
            return (), set()
        old = set(self._unchanged[self._bodies])
        differing = [row for row in rows[self._bodies] if row not in old]
        check.compare_functions(differing, self._functions, self._exposed, self._fixes, context)
        return tuple(finding.id for finding in context.errors), {self._bodies}


def _facts(rows: Rows) -> list[Fact]:
    return [Fact(*row) for row in rows]


def _ids(*lists: Sequence[Fact]) -> set[str]:
    return {fact.id for fact in chain(*lists)}


def _statements(fault: Planted) -> list[Statement]:
    return [Statement(part.code) for part in split(fault.sql)]
