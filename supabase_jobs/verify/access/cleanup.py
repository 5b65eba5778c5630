"""Delete a job and a guest that rows of the project refer to, as the cleanup does.

Each table of the project that refers to one of them, if need be through other tables, gets a row,
with the rows that it needs. One that cannot be deleted afterwards stops the whole cleanup: its
functions delete many rows in a statement. On a database in use nothing is tried.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import LOCK_ERRORS, sqlstate_and_message
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import CHECK_DEFERRED, Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import Reach
from supabase_jobs.verify.access.reach.candidate import QUERY, Candidate
from supabase_jobs.verify.access.reach.values import insert_of, value_of
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

_USERS = "auth.users"
# a row needs rows of so many tables at most
_MOST_TABLES = 6
_FIX = (
    "Let the foreign key have ON DELETE CASCADE, or ON DELETE SET NULL on a column that may be"
    " null."
)


@dataclass(eq=False)
class _Kept:
    """The rows of a table and those that they need, and a delete of what they refer to. `why` it
    failed, if it did.
    """

    table: Candidate
    inserts: Sequence[Statement]
    deleted: Statement
    why: str = field(default="", init=False)

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """All in one group."""
        [result] = yield [[*self.inserts, CHECK_DEFERRED, self.deleted, CHECK_DEFERRED]]
        self.why = self._why(result)

    def _why(self, result: GroupResult) -> str:
        error = result.error
        if isinstance(error, LOCK_ERRORS):
            raise error
        if not isinstance(error, psycopg.IntegrityError) or len(result.answers) <= len(
            self.inserts
        ):
            return ""
        # whatever a trigger raises may be about these rows only
        blocking = f"{error.diag.schema_name}.{error.diag.table_name}"
        is_own = blocking == self.table.name.replace('"', "")
        return sqlstate_and_message(error) if is_own else ""


def check(
    impersonation: Impersonation,
    tables: Sequence[Candidate],
    reached: Reach,
    frame: Frame,
    context: Context,
) -> None:
    """Add a case for each of the `tables` of the project that refers to a job or guest, and a
    finding for each whose rows stop the cleanup.
    """
    if context.in_use or not reached.cleaned:
        return
    rows = _Rows({table.name: table for table in tables}, reached.cleaned, impersonation)
    deletes = [Statement(text, impersonation.ids) for text in reached.deletes]
    inserts = {table.name: list(map(Statement, rows.of(table))) for table in tables}
    tried = [
        _Kept(table, inserts[table.name], deleted)
        for table in tables
        for deleted in deletes
        if inserts[table.name]
    ]
    if not tried:
        return
    Runner(impersonation, context.deadline, frame).run(tried)
    known = {finding.id for finding in context.findings}
    for name in dict.fromkeys(one.table.name for one in tried):
        id = Id(AREA, name, "cleanup")
        case = Case(id=id, area=AREA, object=name, name="its rows do not stop the cleanup")
        context.cases.append(catalog.with_script(case, QUERY, name, context))
        why = next((one.why for one in tried if one.table.name == name and one.why), "")
        if why and Id(AREA, name, "reach") not in known:
            message = f"a row of it keeps a job or guest, and the whole cleanup fails: {why}"
            context.findings.append(
                Finding(
                    id=id,
                    area=AREA,
                    severity=Severity.ERROR,
                    object=name,
                    message=message,
                    fix=_fix_of(name, context),
                )
            )


def _fix_of(table: str, context: Context) -> str:
    """The fix of the foreign key of a table that blocks deletes, by which that finding explains
    this one; else what to do.
    """
    blocking = {
        id
        for id, change in context.evidence.changes.items()
        if change.kind == "foreign key" and change.name.startswith(f"{table}.")
    }
    return next((one.fix for one in context.findings if one.id in blocking), _FIX)


class _Rows:
    """The rows of tables that refer to a row that the cleanup deletes."""

    def __init__(
        self,
        tables: Mapping[str, Candidate],
        cleaned: Mapping[str, str],
        impersonation: Impersonation,
    ) -> None:
        self._tables = tables
        self._user = next(iter(impersonation.ids.values()))
        self._targets = {table: impersonation.ids[id] for table, id in cleaned.items()}
        self._key = uuid.uuid4()

    def of(self, table: Candidate) -> list[str]:
        """The inserts for a row of the table, in order; none if it refers to no such row."""
        needed = self._needed(table)
        referred = {*chain.from_iterable(one.refers for one in needed)}
        if len(needed) > _MOST_TABLES or referred.isdisjoint(self._targets):
            return []
        return [self._insert(one) for one in needed]

    def _needed(self, table: Candidate, seen: Sequence[str] = ()) -> list[Candidate]:
        """The tables of the project that a row refers to, before the table itself."""
        found: dict[str, Candidate] = {}
        for refers in table.refers:
            parent = self._tables.get(refers)
            if parent is not None and refers not in (*seen, table.name):
                found |= {one.name: one for one in self._needed(parent, [*seen, table.name])}
        return [*found.values(), table]

    def _insert(self, table: Candidate) -> str:
        return insert_of(table.name, dict(self._values(table)), overriding=True).as_string(None)

    def _values(self, table: Candidate) -> Iterator[tuple[str, sql.Composable]]:
        for (column, type, required), refers in zip(table.columns, table.refers, strict=True):
            id = self._key
            if refers in self._targets:
                id = self._targets[refers]
            elif refers == _USERS:
                id = self._user
            if required or column == table.key or (refers and refers != table.name):
                text = repeat(sql.Literal("verify"))
                yield column, value_of(type, text, sql.Literal(-1), id)
