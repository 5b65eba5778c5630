"""Two further worlds for each caller, which differ from the generated one in exactly the rows of
others that the tables refuse to the caller: first in their contents, then the rows are absent.

Both are made as the owner, without triggers and foreign keys, and are undone by a savepoint.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
from psycopg import errors, sql

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Column, Function, Relation, is_partition_column
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.expressions import USER_ID
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.readable import Reads, by_table, queries
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import INTEGERS, TIMES
from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import sqlstate_and_message
from supabase_jobs.findings import NotTested
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.session.savepoint import from_same_state
from supabase_jobs.session.steps import Groups, Steps

_WITHOUT_TRIGGERS = Statement("set local session_replication_role = replica")
_WITH_TRIGGERS = Statement("set local session_replication_role = origin")

# between now and a time that a function demands to be before or behind it
_STEP, _DAY = timedelta(minutes=1), timedelta(days=1)

_ANSWERS = "views and functions"
_NOT_COMPARED = "not all answers were compared with those for other rows"

# more than a call takes of anything
_LARGE = 1000.0
_TEXTS = ("text", "varchar", "bpchar", "citext")
_DOCUMENTS = ("json", "jsonb")
_NUMBERS = ("numeric", "float4", "float8")


@dataclass(eq=False)
class Refused:
    """The rows of tenant A that a caller cannot read, without those that name the caller.

    `absent` are those that can be left out: no row that the caller reads refers to them. Of the
    rows `in_part`, the caller's `role` may not read some columns. `of_everybody`: rows of both
    tenants, to a caller who belongs to neither.
    """

    role: str
    rows: Sequence[Row] = ()
    absent: Sequence[Row] = ()
    in_part: Sequence[Row] = ()
    of_everybody: "Refused | None" = None

    def of(self, tables: Collection[int]) -> "Refused":
        """Those of some tables."""
        return Refused(
            role=self.role,
            rows=[row for row in self.rows if row.relation.oid in tables],
            absent=[row for row in self.absent if row.relation.oid in tables],
            in_part=[row for row in self.in_part if row.relation.oid in tables],
        )

    @property
    def tables(self) -> set[int]:
        """The tables of the rows."""
        return {row.relation.oid for row in (*self.rows, *self.in_part)}


@dataclass(eq=False)
class _Changes:
    """Tries which columns of the rows of a table can have other contents: all of them, else those
    that can alone.
    """

    rows: Sequence[Row]
    changes: Mapping[str, Sequence[sql.Composable]]
    accepted: dict[str, sql.Composable] = field(default_factory=dict)

    def steps(self, impersonation: Impersonation) -> Steps[None]:  # noqa: ARG002  of the protocol
        """The first change of all columns together; else each change alone, and together those that
        the constraints let pass.
        """
        first = {name: variants[0] for name, variants in self.changes.items()}
        begun, result = yield self._groups([first])
        begun.answer()
        if not _has_failed(result):
            self.accepted = first
            return
        alone = [{n: one} for n, variants in self.changes.items() for one in variants]
        _, *results = yield self._groups(alone)
        passed: dict[str, sql.Composable] = {}
        for one, result in zip(alone, results, strict=True):
            if not _has_failed(result):
                passed = one | passed
        # two columns that a constraint ties may each be possible alone
        if len(passed) > 1 and _has_failed((yield self._groups([passed]))[1]):
            passed = dict([next(iter(passed.items()))])
        self.accepted = passed

    def _groups(self, tried: Sequence[Mapping[str, sql.Composable]]) -> Groups:
        groups = [[_update(self.rows, one)] for one in tried]
        return from_same_state(groups, first=[_WITHOUT_TRIGGERS])


class Worlds:
    """The worlds of each caller. `is_possible`: answers are compared, and the role may switch
    triggers off.
    """

    def __init__(
        self, world: World, users: Sequence[Row], runner: Runner, *, compares: bool
    ) -> None:
        """`users` are the rows of all users in auth.users."""
        self._world, self._plan, self._runner = world, world.plan, runner
        self._users = users
        self._changes: dict[int, Mapping[str, sql.Composable]] = {}
        self._refused: dict[int, Refused] = {}
        self._views: Sequence[Relation] = ()
        self.is_possible = self._compares = compares
        self.failures: list[psycopg.Error] = []

    def prepare(
        self, callers: Sequence[Persona], views: Sequence[Relation], tables: Collection[int]
    ) -> None:
        """Find out which rows of these tables are refused, and how their contents can differ; two
        round trips.
        """
        self._views = [view for view in views if view.kind == "m"]
        rows = [row for row in self._rows() if row.relation.oid in tables]
        roles = {caller.role for caller in callers}
        by_role = {role: queries(self._plan.catalog, role, rows) for role in roles}
        reads = [Reads(caller, by_role[caller.role]) for caller in callers]
        self._runner.run(reads)
        for caller, read in zip(callers, reads, strict=True):
            self._refused[id(caller)] = self._refused_to(caller, read, rows)
        if not self._compares:
            return
        changes = [_Changes(group, self._other_contents(group)) for group in by_table(rows)]
        if self._users:
            changes.append(_Changes(self._users, self._other_addresses()))
        possible = [change for change in changes if change.changes]
        self._try_changes(possible)

    def refused(self, caller: Persona) -> Refused:
        """The rows of the tables that are refused to a caller, and rows of auth.users."""
        return self._refused[id(caller)]

    def with_other_contents(
        self, refused: Refused, fixed: Collection[ColumnKey] = ()
    ) -> list[Statement]:
        """The statements of the owner after which the refused rows have other contents, except in
        the columns `fixed`.
        """
        changed = [self._with_other_contents(rows, fixed) for rows in by_table(refused.rows)]
        changed += self._with_other_columns(refused, fixed)
        return self._around(statement for statement in changed if statement is not None)

    def without(self, refused: Refused) -> list[Statement]:
        """The statements of the owner after which the refused rows are absent; those that others
        refer to have other contents.
        """
        deleted = [_delete(rows) for rows in by_table(refused.absent)]
        left = {id(row) for row in refused.rows} - {id(row) for row in refused.absent}
        kept = [row for row in refused.rows if id(row) in left]
        changed = [self._with_other_contents(rows) for rows in by_table(kept)]
        changed += self._with_other_columns(refused, ())
        return self._around([*deleted, *(one for one in changed if one is not None)])

    def older(self, rows: Sequence[Row]) -> list[Statement]:
        """The statements of the owner after which rows are so old that a cleanup takes them; none
        if they have no age.
        """
        aged = []
        for group in by_table(rows):
            changes = {
                column.name: sql.SQL("{} - interval '10 years'").format(column.identifier)
                for column in group[0].relation.columns
                if column.base in TIMES and column.default is not None and not column.generated
            }
            aged += [_update(group, changes)] if changes else []
        return [_WITHOUT_TRIGGERS, *aged, _WITH_TRIGGERS] if aged else []

    def in_state(
        self, rows: Sequence[Row], values: Mapping[ColumnKey, str | None]
    ) -> list[Statement]:
        """The statements of the owner after which rows have these values, except in their keys;
        none if they have them.
        """
        changed = []
        for row in rows:
            wanted = {
                name: value for (oid, name), value in values.items() if oid == row.relation.oid
            }
            differing = {
                name: value
                for name, value in wanted.items()
                if name not in row.key and value != row.values.get(name)
            }
            if differing:
                changed.append(statements.update(row, differing).statement)
        return [_WITHOUT_TRIGGERS, *changed, _WITH_TRIGGERS] if changed else []

    def demanded(self, function: Function) -> dict[ColumnKey, str | None]:
        """The values that a function demands of rows: constants, and times beside now."""
        usage = self._plan.usage
        wanted = dict(usage.conditions.demands[function.oid])
        for (oid, name), moment in usage.conditions.moments.get(function.oid, {}).items():
            column = self._plan.catalog.by_oid[oid].by_name[name]
            distance = moment.distance(_DAY if column.base == "date" else _STEP)
            wanted[oid, name] = str(self._world.now + distance)
        return wanted

    def ready(
        self,
        function: Function,
        caller: Persona,
        rows: Sequence[Row],
        unset: Collection[ColumnKey] = (),
        named: ColumnKey | None = None,
    ) -> list[Statement]:
        """The statements of the owner after which rows are as a function demands: named after the
        caller, only in the column `named` if it is given, with the constants and on the side of now
        that its queries ask for, and with room for more rows. The times `unset` are null.
        """
        by_oid, usage = self._plan.catalog.by_oid, self._plan.usage
        wanted = self._large(usage.conditions.capacities.get(function.oid, ())) | self.demanded(
            function
        )
        wanted |= {(oid, name): None for oid, name in unset if _is_time(by_oid[oid], name)}
        found = []
        for row in rows:
            own = self._named(function, caller, row)
            if named is not None:
                own = {key: value for key, value in own.items() if key == named}
            found += self.in_state([row], {**wanted, **own})
        return found

    def _named(self, function: Function, caller: Persona, row: Row) -> dict[ColumnKey, str | None]:
        """The columns of a row that a function compares with the caller, with the caller's id, or
        the claim; another column that names the user gets the person who was in the first one.
        """
        oid, usage, user = row.relation.oid, self._plan.usage, caller.user
        if user is None:
            return {}
        own: dict[ColumnKey, str | None] = {}
        for key in usage.conditions.own[function.oid]:
            path = usage.claim_columns.get(key, USER_ID.path)
            value = caller.claim_at(path)
            if key[0] == oid and value is not None:
                own[key] = value
        others = [row.values.get(name) for (_, name), value in own.items() if value == user.id]
        before = next((value for value in others if value not in (None, user.id)), None)
        found: dict[ColumnKey, str | None] = {}
        for name in row.relation.by_name if before is not None else ():
            if (oid, name) in usage.persons.users and row.values.get(name) == user.id:
                found[oid, name] = before
        return found | own

    def with_enough(self, columns: Collection[ColumnKey]) -> list[Statement]:
        """The statements of the owner after which all rows have large numbers in some columns, as
        far as these accept them.
        """
        tables = {oid for oid, _ in columns}
        rows = [*self._world.a.all_rows, *self._world.b.all_rows]
        chosen = [row for row in rows if row.relation.oid in tables]
        return self.in_state(chosen, self._large(columns))

    def _large(self, columns: Collection[ColumnKey]) -> dict[ColumnKey, str | None]:
        """Large numbers for some columns, as far as these accept them."""
        large: dict[ColumnKey, str | None] = {}
        for oid, name in columns:
            limit = self._plan.limits.get(oid, {}).get(name, Limits())
            high = _LARGE if limit.high is None else min(_LARGE, limit.high)
            large[oid, name] = f"{high:g}"
        return large

    def with_numbers(self, rows: Sequence[Row], but: Collection[ColumnKey]) -> list[Statement]:
        """The statements of the owner after which rows have something in the numbers that are zero,
        but for some columns: what adds them to another one shows.
        """
        found = list[Statement]()
        for row in rows:
            keys = {name for key in row.relation.foreign_keys for name in key.columns}
            some = {
                (row.relation.oid, column.name): "1"
                for column in row.relation.columns
                if column.category == "N" and not column.generated and column.name not in keys
                if (row.relation.oid, column.name) not in but
                if row.values.get(column.name) == "0"
            }
            found += self.in_state([row], some)
        return found

    def absent(self, rows: Sequence[Row]) -> list[Statement]:
        """The statements of the owner after which rows are absent."""
        deleted = [_delete(group) for group in by_table(rows)]
        return [_WITHOUT_TRIGGERS, *deleted, _WITH_TRIGGERS] if deleted else []

    def contents(self, refused: Refused) -> dict[str, set[ColumnKey]]:
        """The contents of the refused rows that differ in the other world, and their columns."""
        found: dict[str, set[ColumnKey]] = {}
        in_part = {id(row) for row in refused.in_part}
        for row in (*refused.rows, *refused.in_part):
            oid = row.relation.oid
            readable = _readable(row.relation, refused.role) if id(row) in in_part else set()
            for name in self._changes.get(oid, {}):
                value = row.values.get(name)
                if value is not None and (oid, name) not in readable:
                    found.setdefault(value, set()).add((oid, name))
        return found

    @property
    def not_tested(self) -> list[NotTested]:
        """Why answers were not compared, if some were not."""
        if self._compares and not self.is_possible:
            help_ = "As a superuser: grant set on parameter session_replication_role to the role."
            why = f"{_NOT_COMPARED}: the role may not set session_replication_role"
            return [NotTested(_ANSWERS, why, help_)]
        reasons = dict.fromkeys(map(sqlstate_and_message, self.failures))
        help_ = "Look at the constraints of the tables that they read."
        return [NotTested(_ANSWERS, f"{_NOT_COMPARED}: {why}", help_) for why in reasons]

    # -------------------------------------------------------------------------------------------

    def _rows(self) -> list[Row]:
        """All rows of both tenants of tables whose rows belong to somebody."""
        rows = [*self._world.a.all_rows, *self._world.b.all_rows]
        unique = {id(row): row for row in rows if self._plan.owned(row.relation)}
        return list(unique.values())

    def _refused_to(self, caller: Persona, read: Reads, rows: Sequence[Row]) -> Refused:
        """The rows that are refused to a caller."""
        of_a = {id(row) for row in self._world.a.all_rows}
        users = {user.id for user in self._world.a.users}
        found = self._among(
            caller,
            read,
            [row for row in rows if id(row) in of_a],
            [row for row in self._users if row.values["id"] in users],
        )
        if caller.tenant not in (self._world.a, self._world.b):
            found.of_everybody = self._among(caller, read, rows, self._users)
        return found

    def _among(
        self, caller: Persona, read: Reads, rows: Sequence[Row], users: Sequence[Row]
    ) -> Refused:
        """Those of some rows, and of some of auth.users, that are refused to a caller."""
        readable = [row for row in rows if id(row) in read.readable]
        refused = [
            row
            for row in rows
            if id(row) not in read.readable
            and row.relation.oid not in read.unknown
            and not _names(caller, row)
        ]
        needed = {id(row) for row in _referenced(readable, refused)}
        absent = [row for row in refused if id(row) not in needed]
        others = [row for row in readable if not _names(caller, row)]
        return Refused(
            role=caller.role,
            rows=[*refused, *(row for row in users if not _names(caller, row))],
            absent=absent,
            in_part=[row for row in others if not _is_whole(row.relation, caller.role)],
        )

    def _try_changes(self, changes: Sequence[_Changes]) -> None:
        try:
            self._runner.run(changes)
        except errors.InsufficientPrivilege:
            self.is_possible = False
        for change in changes:
            self._changes[change.rows[0].relation.oid] = change.accepted

    def _around(self, changed: Iterable[Statement]) -> list[Statement]:
        refreshed = [
            _statement(sql.SQL("refresh materialized view {}").format(view.identifier))
            for view in self._views
        ]
        return [_WITHOUT_TRIGGERS, *changed, _WITH_TRIGGERS, *refreshed]

    def _with_other_contents(
        self, rows: Sequence[Row], fixed: Collection[ColumnKey] = ()
    ) -> Statement | None:
        oid = rows[0].relation.oid
        known = self._changes.get(oid, {})
        changes = {name: one for name, one in known.items() if (oid, name) not in fixed}
        return _update(rows, changes) if changes else None

    def _with_other_columns(
        self, refused: Refused, fixed: Collection[ColumnKey]
    ) -> list[Statement | None]:
        """The same for the rows that are refused in part, in the columns that are refused."""
        changed = []
        for rows in by_table(refused.in_part):
            readable = _readable(rows[0].relation, refused.role)
            changed.append(self._with_other_contents(rows, {*readable, *fixed}))
        return changed

    def _other_contents(self, rows: Sequence[Row]) -> dict[str, list[sql.Composable]]:
        """Column → expressions with other contents, of columns that decide no access."""
        relation = rows[0].relation
        keys = {name for key in relation.unique_keys for name in key}
        fixed = {name for key in relation.foreign_keys for name in key.columns}
        fixed |= {*relation.primary_key, *user_columns(relation, self._plan.usage, frozenset())}
        found = {}
        for column in relation.columns:
            is_key = (relation.oid, column.name) in self._plan.usage.mentions.mentioned
            if is_key or column.name in fixed or column.generated or column.identity:
                continue
            if is_partition_column(relation, column):
                continue
            other = self._other(column, may_count=column.name not in keys)
            if other:
                found[column.name] = other
        return found

    def _other_addresses(self) -> dict[str, list[sql.Composable]]:
        return {"email": [self._replaced(sql.Identifier("email"))]}

    def _replaced(self, text: sql.Composable) -> sql.Composable:
        """A text with other characters in place of the tokens, in both cases of letters."""
        for tenant, letter in ((self._world.a, "y"), (self._world.b, "w")):
            token, other = tenant.token, f"zq{letter}{tenant.token[3:]}"
            text = sql.SQL("replace(replace({}, {}, {}), {}, {})").format(
                text, token, other, token.upper(), other.upper()
            )
        return text

    def _other(self, column: Column, *, may_count: bool) -> list[sql.Composable]:
        """Expressions with other contents for a column."""
        name = column.identifier
        if column.category == "A" or column.typtype != "b":
            return []
        if column.base in _TEXTS:
            return [self._replaced(name)]
        if column.base in _DOCUMENTS:
            text = self._replaced(sql.SQL("{}::text").format(name))
            return [sql.SQL("({})::{}").format(text, sql.SQL(column.base))]
        if column.base in (*INTEGERS, *_NUMBERS) and may_count:
            return [sql.SQL(text).format(name) for text in ("{} + 1", "{} - 1")]
        if column.base in TIMES:
            earlier = sql.SQL("({} - interval '1 day')::{}")
            return [earlier.format(name, sql.SQL(column.base))]
        return []


def _is_time(relation: Relation, column: str) -> bool:
    return relation.by_name[column].base in TIMES


def _readable(relation: Relation, role: str) -> set[ColumnKey]:
    """The columns that a role may read."""
    names = [name for name in relation.by_name if relation.may(role, "SELECT", name)]
    return {(relation.oid, name) for name in names}


def _is_whole(relation: Relation, role: str) -> bool:
    """Whether a role may read every column."""
    return len(_readable(relation, role)) == len(relation.columns)


def _names(caller: Persona, row: Row) -> bool:
    """Whether a row is the caller's own, or names the caller."""
    user = caller.user
    if user is None:
        return False
    if any(row is own for own in user.all_rows):
        return True
    names = [name for name in (user.id, user.email, user.name) if name]
    return any(name in value for value in row.values.values() if value for name in names)


def _referenced(referring: Iterable[Row], targets: Sequence[Row]) -> Iterator[Row]:
    """The targets to which foreign keys of rows refer."""
    by_table: dict[int, list[Row]] = {}
    for row in targets:
        by_table.setdefault(row.relation.oid, []).append(row)
    for row in referring:
        for key in row.relation.foreign_keys:
            pairs = list(zip(key.columns, key.target_columns, strict=True))
            for target in by_table.get(key.target or 0, ()):
                if all(row.values.get(own) == target.values.get(at) for own, at in pairs):
                    yield target


def _any_of(rows: Sequence[Row]) -> sql.Composable:
    return sql.SQL(" or ").join(sql.SQL("({})").format(row.condition) for row in rows)


def _update(rows: Sequence[Row], changes: Mapping[str, sql.Composable]) -> Statement:
    assigned = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in changes.items()
    )
    return _statement(
        sql.SQL("update {} set {} where {}").format(
            rows[0].relation.identifier, assigned, _any_of(rows)
        )
    )


def _delete(rows: Sequence[Row]) -> Statement:
    return _statement(
        sql.SQL("delete from {} where {}").format(rows[0].relation.identifier, _any_of(rows))
    )


def _has_failed(result: GroupResult) -> bool:
    return result.error is not None


def _statement(composed: sql.Composable) -> Statement:
    return Statement(composed.as_string(None))
