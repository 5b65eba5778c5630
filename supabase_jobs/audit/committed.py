"""Rows of both tenants that are committed, because requests to an API cannot see those of an open
transaction.

Each is marked: by a user's id, by the token in a text, or by a foreign key to a marked row. So what
a killed run left can be deleted. A table is left out if its rows cannot be marked, or if something
would remain: a trigger keeps a row, or reaches something outside of the database. A transaction
that inserts and deletes everything shows that before the first commit.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
from psycopg import sql

from supabase_jobs.api.marked_ids import MARK, is_marked_id
from supabase_jobs.audit.catalog import USERS, Column, Constraint, Function, Relation
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.emit import recording
from supabase_jobs.audit.emit.recording import RecordedRow
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.probes.attempt import UPDATE, Attempt
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import MARKED_TEXT
from supabase_jobs.database.batch import Answer, Statement, run_groups
from supabase_jobs.database.connection import Connection, open_or_new, session_of
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import ConfigError, SupabaseJobsError
from supabase_jobs.session.savepoint import run_kept, undone

_CATALOG = Path(__file__).with_name("catalog")
_TRIGGERS, _DELETABLE = sql_file(_CATALOG / "triggers.sql"), sql_file(_CATALOG / "deletable.sql")
_TEXTS = {"text", "varchar", "bpchar", "citext", "json", "jsonb"}
# what a function does outside of its transaction, or in tables of the platform
_OUTSIDE = re.compile(
    r"\b(net\.http_\w+|supabase_functions\.\w+"
    r"|http(?:_get|_post|_put|_patch|_delete)?(?=\s*\()|dblink\w*|pg_notify"
    r"|pgmq\.\w+|cron\.\w+|realtime\.(?:send|broadcast_changes))",
    re.IGNORECASE,
)

_SNAPSHOT = Statement("set transaction isolation level repeatable read")


def marked() -> Common:
    """Tokens that show in each text and id that follows from them that it comes from an audit."""
    return Common({name: f"zq{name}audit{secrets.token_hex(2)[1:]}" for name in "abc"})


@dataclass
class CommittedRows:
    """The rows of a world, to commit and to delete. `preparation` begins each transaction.

    `tables` are those whose rows the role may delete: what it may not delete, it has not inserted.
    `left_out` maps tables that are not committed to the reason. `before` are the numbers of rows
    before the commit.
    """

    connection: Connection
    world: World
    preparation: Sequence[Statement]
    users: Sequence[RecordedRow]
    rows: Sequence[tuple[Row, RecordedRow]]
    tables: Sequence[Relation]
    left_out: dict[str, str] = field(default_factory=dict)
    before: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, connection: Connection, world: World, preparation: Sequence[Statement]
    ) -> "CommittedRows":
        """The rows of a world, while they exist in the open transaction."""
        made = cls(
            connection,
            world,
            preparation,
            tuple(recording.users(connection, world)),
            [
                (row, recorded)
                for row, recorded in recording.rows_of(world)
                if not row.relation.is_storage
            ],
            _deletable(connection, world),
        )
        made.left_out |= made._outside()
        for row, _ in made.rows:
            if not row.key:
                made.left_out[row.relation.label] = (
                    "its rows have no key, by which a request could name one"
                )
            elif row.reused and not made.is_marked(row):
                made.left_out[row.relation.label] = "a row that existed before would be changed"
            elif not made.is_marked(row):
                made.left_out[row.relation.label] = "no column shows that a row comes from an audit"
        return made

    @contextmanager
    def committed(self, guard: Connection) -> Iterator[None]:
        """Delete what an earlier run left, commit the rows, and delete them at the end. `guard` is
        another connection to the same database.

        Raises ConfigError if the users or anything else would remain.
        """
        session = session_of(self.connection)
        self.delete()
        self._commit()
        try:
            yield
        finally:
            with open_or_new(self.connection, session, guard) as connection:
                replace(self, connection=connection).delete()

    def restore(self) -> None:
        """Delete the rows and insert them again, after a request that wrote."""
        with self._transaction():
            if failed := self._delete():
                raise self._not_deleted(failed)
            rows = [*self.users, *(recorded for _, recorded in self._kept())]
            statements = [s for recorded in rows for s in recorded.text().statements]
            run_groups(self.connection, [statements])[0].answer()

    def delete(self) -> None:
        """Delete all marked rows. Raises SupabaseJobsError if the database refuses that."""
        with self._transaction():
            failed = self._delete()
        if failed:
            raise self._not_deleted(failed)

    def remaining(self) -> dict[str, int]:
        """The tables whose number of rows is not the one before the run, and the difference."""
        with self._transaction():
            return _differences(self.before, self._counts())

    def prune(self) -> None:
        """Remove the rows that are not committed from the world."""
        for user in self.world.users:
            user.rows = {oid: row for oid, row in user.rows.items() if self._is_kept(row.relation)}
            user.extra = [row for row in user.extra if self._is_kept(row.relation)]

    def is_marked(
        self,
        row: Row,
        values: Mapping[str, str | None] | None = None,
        depth: int = LIMITS.marking_depth,
    ) -> bool:
        """Whether a row, or other values of it, can be recognized as one of an audit."""
        found = row.values if values is None else values
        relation = row.relation
        if any(
            _is_mark(c, value) for c in relation.columns if (value := found.get(c.name)) is not None
        ):
            return True
        if depth == 0:
            return False
        for key in relation.foreign_keys:
            for parent in self._rows_of(key.target):
                if _refers(found, key, parent) and self.is_marked(parent, depth=depth - 1):
                    return True
        return False

    def stays_marked(self, attempt: Attempt) -> bool:
        """Whether the row that an insert or update writes can be recognized."""
        before = attempt.row.values if attempt.action == UPDATE else {}
        return self.is_marked(attempt.row, {**before, **attempt.written})

    def prepare(self) -> None:
        """Make the settings of a transaction in the open one."""
        self._run(*self.preparation)

    # -------------------------------------------------------------------------------------------
    # commit

    def _commit(self) -> None:
        """Commit the rows of all tables from which nothing would remain."""
        while problems := self._try():
            known = len(self.left_out)
            self.left_out |= problems
            if len(self.left_out) == known:
                label, why = next(iter(problems.items()))
                raise _not_committed(f"{label}: {why}")

    def _try(self) -> dict[str, str]:
        """Insert and delete the rows in one transaction; commit them if nothing remains. Tables
        with the reason.
        """
        with self._transaction(_SNAPSHOT):
            self.before = self._counts()
            problems = self._insert()
            if not problems:
                with undone(self.connection):
                    failed = self._delete()
                    problems = self._problems(failed, _differences(self.before, self._counts()))
            if problems:
                raise psycopg.Rollback
        return problems

    def _insert(self) -> dict[str, str]:
        kept = self._kept()
        groups = [
            [s for recorded in self.users for s in recorded.text().statements],
            *(recorded.text().statements for _, recorded in kept),
        ]
        users, *results = run_kept(self.connection, groups)
        if users.error is not None:
            raise _not_committed(f"no user can be created: {sqlstate_and_message(users.error)}")
        return {
            row.relation.label: f"a row cannot be committed: {sqlstate_and_message(result.error)}"
            for (row, _), result in zip(kept, results, strict=True)
            if result.error is not None
        }

    def _problems(
        self, failed: Mapping[str, psycopg.Error], differences: Mapping[str, int]
    ) -> dict[str, str]:
        """Tables that must be left out, so that nothing remains."""
        committed = {row.relation.label for row, _ in self._kept()}
        problems = {
            label: f"its rows cannot be deleted: {sqlstate_and_message(error)}"
            for label, error in failed.items()
            if label in committed
        }
        for label in differences:
            if label in committed:
                problems.setdefault(label, "a trigger keeps its rows when they are deleted")
                continue
            table = next((r for r in self.world.plan.catalog.tables if r.label == label), None)
            writers = [
                w for w in committed if table is not None and table.oid in self._triggered(w)
            ]
            problems |= dict.fromkeys(
                writers, f"a trigger writes to {label}, where rows would remain"
            )
        if (failed or differences) and not problems:
            label = next(iter([*failed, *differences]))
            raise _not_committed(f"rows of {label} would remain")
        return problems

    def _triggered(self, label: str) -> set[int]:
        """The tables that the trigger functions of a table name, directly or by other functions."""
        usage = self.world.plan.usage
        [relation] = [r for r in self.world.plan.catalog.tables if r.label == label]
        return {
            oid
            for function in relation.triggers
            for oid in usage.bodies.function_reads.get(function, ())
        }

    def _outside(self) -> dict[str, str]:
        """The tables whose triggers reach something outside of the database, directly or by what
        they write to.

        Raises ConfigError if that is the table of users.
        """
        catalog = self.world.plan.catalog
        rows = (
            run_groups(self.connection, [[_TRIGGERS.statement(list(catalog.schema_users))]])[0]
            .answer()
            .rows
        )
        bodies = {f.oid: f.body for f in catalog.functions}
        reads = self.world.plan.usage.bodies.function_reads
        found: dict[str, str] = {}
        for _ in rows:  # at most one table is added by each pass
            known = len(found)
            for _, label, trigger, oid, function, body in rows:
                texts = [function, body, *(bodies[f] for f in _called(body, catalog.functions))]
                called = next((m[0] for text in texts if (m := _OUTSIDE.search(text))), None)
                named = (
                    r.label
                    for r in catalog.tables
                    if r.oid in reads.get(oid, ()) and _writes(body, r)
                )
                written = next((name for name in named if name in found), None)
                if called is not None:
                    found.setdefault(
                        label, f"its trigger {trigger} reaches something outside: {called.strip()}"
                    )
                elif written is not None:
                    found.setdefault(
                        label,
                        f"its trigger {trigger} writes to {written}, whose trigger reaches"
                        " something outside",
                    )
            if len(found) == known:
                break
        if USERS in found:
            raise _not_committed(f"{USERS}: {found[USERS]}")
        return found

    # -------------------------------------------------------------------------------------------
    # statements

    @contextmanager
    def _transaction(self, *first: Statement) -> Iterator[None]:
        with self.connection.transaction():
            deferral = [Statement(text.as_string(None)) for text in self.world.plan.deferral]
            self._run(*first, *self.preparation, *deferral)
            yield

    def _run(self, *statements: Statement) -> Answer:
        return run_groups(self.connection, [statements])[0].answer()

    def _kept(self) -> list[tuple[Row, RecordedRow]]:
        return [(row, recorded) for row, recorded in self.rows if self._is_kept(row.relation)]

    def _is_kept(self, relation: Relation) -> bool:
        return not relation.is_storage and relation.label not in self.left_out

    def _rows_of(self, oid: int | None) -> list[Row]:
        return [row for row, _ in self.rows if row.relation.oid == oid]

    def _delete(self) -> dict[str, psycopg.Error]:
        """Delete the marked rows of every table, children first; the tables whose rows could not be
        deleted.
        """
        steps = reversed(self.world.plan.steps)
        ordered = [r for step in steps for r in reversed(step.relations) if r in self.tables]
        waiting = [(r.label, d) for r in ordered if (d := self._deletion(r)) is not None]
        if self.world.plan.catalog.has_auth:
            text = sql.SQL("delete from auth.users where {}").format(
                _is_marked_id(sql.Identifier("id"))
            )
            waiting.append((USERS, Statement(text.as_string(None))))
        while True:
            results = run_kept(self.connection, [[statement] for _, statement in waiting])
            failed = [
                (w, r.error) for w, r in zip(waiting, results, strict=True) if r.error is not None
            ]
            if not failed or len(failed) == len(waiting):
                return {label: error for (label, _), error in failed}
            waiting = [w for w, _ in failed]

    def _deletion(self, relation: Relation) -> Statement | None:
        condition = self._condition(relation, LIMITS.marking_depth)
        if condition is None:
            return None
        text = sql.SQL("delete from {} where {}").format(relation.identifier, condition)
        return Statement(text.as_string(None))

    def _condition(self, relation: Relation, depth: int) -> sql.Composable | None:
        """The condition that marked rows of a table meet; None if it has no column for a mark."""
        parts: list[sql.Composable] = []
        for column in relation.columns:
            if column.base == "uuid" and column.category != "A":
                parts.append(_is_marked_id(column.identifier))
            elif _holds_texts(column):
                parts.append(
                    sql.SQL("{}::text ~ {}").format(column.identifier, sql.Literal(MARKED_TEXT))
                )
        for key in relation.foreign_keys if depth else ():
            parent = self.world.plan.catalog.by_oid.get(key.target or 0)
            if parent is None or parent is relation or parent.is_storage:
                continue
            if (inner := self._condition(parent, depth - 1)) is not None:
                own, target = (
                    sql.SQL(", ").join(map(sql.Identifier, c))
                    for c in (key.columns, key.target_columns)
                )
                parts.append(
                    sql.SQL("({}) in (select {} from {} where {})").format(
                        own, target, parent.identifier, inner
                    )
                )
        return (
            sql.SQL(" or ").join(sql.SQL("({})").format(part) for part in parts) if parts else None
        )

    def _counts(self) -> dict[str, int]:
        tables = {r.label: r.identifier for r in self.tables}
        if self.world.plan.catalog.has_auth:
            tables[USERS] = sql.Identifier("auth", "users")
        counts = (sql.SQL("(select count(*) from {})").format(name) for name in tables.values())
        text = sql.SQL("select {}").format(sql.SQL(", ").join(counts))
        return dict(zip(tables, self._run(Statement(text.as_string(None))).rows[0], strict=True))

    def _not_deleted(self, failed: Mapping[str, psycopg.Error]) -> SupabaseJobsError:
        label, error = next(iter(failed.items()))
        return SupabaseJobsError(
            f"the rows of the audit remain, because those of {label} cannot be deleted:"
            f" {sqlstate_and_message(error)}",
            hint=f"Delete the users whose id contains {MARK}, and the rows that refer to them.",
        )


def _refers(values: Mapping[str, str | None], key: Constraint, parent: Row) -> bool:
    """Whether values of a row refer to this row of another table by a foreign key."""
    pairs = zip(key.columns, key.target_columns, strict=True)
    return all(
        values.get(own) is not None and values.get(own) == parent.values.get(at)
        for own, at in pairs
    )


def _deletable(connection: Connection, world: World) -> list[Relation]:
    tables = world.plan.catalog.tables
    oids = [r.oid for r in tables]
    found = {oid for (oid,) in _DELETABLE.rows(connection, oids)}
    return [r for r in tables if r.oid in found]


def _is_mark(column: Column, value: str) -> bool:
    if column.base == "uuid" and column.category != "A":
        return is_marked_id(value)
    return _holds_texts(column) and re.search(MARKED_TEXT, value) is not None


def _holds_texts(column: Column) -> bool:
    return column.base in _TEXTS or (column.category == "A" and column.element in _TEXTS)


def _is_marked_id(column: sql.Composable) -> sql.Composed:
    return sql.SQL("{}::text like {}").format(column, sql.Literal(f"%{MARK}%"))


def _differences(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {label: after[label] - count for label, count in before.items() if after[label] != count}


def _called(body: str, functions: Collection[Function]) -> list[int]:
    """The functions that a body names, directly or by other functions."""
    words = {f.name: f for f in functions}
    found: dict[int, None] = {}
    waiting = [body]
    while waiting:
        for word in set(re.findall(r"\w+", waiting.pop())):
            function = words.get(word)
            if function is not None and function.oid not in found:
                found[function.oid] = None
                waiting.append(function.body)
    return list(found)


def _writes(body: str, relation: Relation) -> bool:
    """Whether a body has a statement that changes a table."""
    name = rf'"?{re.escape(relation.name)}"?\b'
    return (
        re.search(
            rf"\b(insert\s+into|update|delete\s+from|merge\s+into)\s+(only\s+)?([\w\"]+\.)?{name}",
            body,
            re.I,
        )
        is not None
    )


def _not_committed(why: str) -> ConfigError:
    return ConfigError(
        f"the audit cannot commit rows for requests to the API: {why}",
        hint="Audit without --api-url, or a database in which the trigger does nothing.",
    )
