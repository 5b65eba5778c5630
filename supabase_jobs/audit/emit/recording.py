"""The generated rows and the attempts of an audit as SQL, from which tests are written."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from psycopg import sql

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import USERS, Catalog, Constraint, Function
from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.copied_texts import CopiedTexts, Printable
from supabase_jobs.audit.evidence import Evidence
from supabase_jobs.audit.probes import statements, topics
from supabase_jobs.audit.probes.attempt import INSERT, SELECT, UPDATE, AnyAttempt, Attempt
from supabase_jobs.audit.probes.bypass import SQL, Bypass, FunctionCall
from supabase_jobs.audit.probes.topics import Topic, TopicAttempt
from supabase_jobs.audit.rows import storage, values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.claims import claims_of
from supabase_jobs.audit.rows.steps import is_deferred
from supabase_jobs.audit.rows.tenants import Row, Tenant, User
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.request import request_settings
from supabase_jobs.outcomes import DENIED, ROWS
from supabase_jobs.session.action import Action, Change, Constant, Truncate, equal, parts, printed
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import SET

_USER_COLUMNS = (
    "instance_id",
    "id",
    "aud",
    "role",
    "email",
    "raw_app_meta_data",
    "raw_user_meta_data",
    "is_anonymous",
)


@dataclass(frozen=True)
class RowText:
    """A statement that inserts a row, in a style; `settings` are those of a request that triggers
    may require.
    """

    sql: str
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def statements(self) -> list[Statement]:
        """The insertion between the settings and their end."""
        made = [Statement(SET, pair) for pair in self.settings]
        reset = [Statement(SET, (name, "")) for name, _ in self.settings]
        return [*made, Statement(self.sql, decoded=False), *reset]


@dataclass(frozen=True)
class RecordedRow:
    """A statement that inserts a row, as the owner; `settings` are those of a request that triggers
    may require.

    `short` inserts the row with fewer columns, which is enough in most projects; None if there is
    no such statement. `table` is the table of the row, `schema.name`, `user` the id of the user
    whose row it is in auth.users. `optional`: a trigger inserts the row.
    """

    statement: sql.Composable
    settings: tuple[tuple[str, str], ...] = ()
    short: sql.Composable | None = None
    table: str = ""
    user: str = ""
    optional: bool = False

    def shortened(self) -> "RecordedRow":
        """The row with fewer columns."""
        return self if self.short is None else replace(self, statement=self.short, short=None)

    def text(self) -> RowText:
        """The statement as the audit has it."""
        return RowText(printed(self.statement), self.settings)


@dataclass(frozen=True)
class Showing:
    """An action of a caller that shows what an attempt reaches. With `target`, its effect is that
    on the result of this query of the owner.
    """

    action: Action
    target: sql.Composable | None = None


@dataclass(frozen=True)
class RecordedAttempt:
    """An attempt: its cell (object, caller, whose row, action), its outcome, and actions that show
    it. `verb`, `column` and `name` make the action, such as `update owner take over`.

    `showings` are alternatives: the first has a condition on the key, the last ones have none.
    `sent` is the action on a row or topic as the audit sent it; its cursor reads no column, so that
    no policy for SELECT applies. `of` is the table, view or (`of_function`) function, `value` what
    an update assigns. With `decided_by_trigger`, a trigger may replace what the statement writes.
    """

    object: str
    caller: Caller
    whose: str
    verb: str
    outcome: str
    showings: tuple[Showing, ...]
    of: str = ""
    value: str = ""
    sent: Action | None = None
    decided_by_trigger: bool = False
    column: str = ""
    name: str = ""
    of_function: bool = False

    @property
    def action(self) -> str:
        """The action in words."""
        return " ".join(filter(None, (self.verb, self.column, self.name)))

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """The key that is equal in two audits of a database."""
        return self.object, self.caller.label, self.whose, self.action


@dataclass(frozen=True)
class Generated:
    """The random values of an audit, which differ in each run: ids, and tokens in texts."""

    ids: frozenset[str] = frozenset()
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """The rows in the order of their inserts, and the attempts.

    `related` maps each table to the tables whose rows its access depends on. `functions` are those
    of the API, with the roles that may call them. `now` is the time that generated times are
    relative to. `printable` is set for a copy of a database. `drawn` are random values of the
    server, in the order of the rows. `columns` maps (table, role, privilege) to the columns on
    which the role has it. `identifiers` are those of the tables and views, by label.
    """

    rows: tuple[RecordedRow, ...]
    attempts: tuple[RecordedAttempt, ...]
    related: Mapping[str, frozenset[str]] = field(default_factory=dict)
    functions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    now: datetime = datetime.max
    drawn: tuple[str, ...] = ()
    printable: Printable | None = None
    columns: Mapping[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)
    identifiers: Mapping[str, sql.Composable] = field(default_factory=dict)
    generated: Generated = Generated()


def record(
    connection: Connection, evidence: Evidence, copied: CopiedTexts | None = None
) -> Recording:
    """Record an audit, while its rows exist."""
    world, channels = evidence.world, evidence.channels
    printable = None if copied is None else Printable(copied, world)
    buckets = storage.buckets((world.a, world.b))
    rows = [RecordedRow(statement=bucket, table="storage.buckets") for bucket in buckets]
    rows += [*users(connection, world), *(row for _, row in rows_of(world))]
    for topic, extension in dict.fromkeys((c.topic, c.extension) for c in channels):
        rows.append(RecordedRow(statement=topics.message(topic, extension).query(), table=CHANNELS))
    for relation in dict.fromkeys(relation for relation, _ in world.plan.deferring):
        rows += [
            RecordedRow(statement=text, table=relation.label) for text in world.plan.end_of_deferral
        ]
    bypasses = [bypass for bypass in evidence.bypasses if bypass.action != SQL]
    attempts = [*map(recorded, evidence.attempts), *map(recorded, bypasses)]
    attempts += [*_truncations(world), *map(recorded, channels)]
    catalog = world.plan.catalog
    served = [f for f in catalog.functions if f.schema in catalog.served and f.result != "trigger"]
    functions = {f.signature: frozenset(f.callers) for f in served}
    inserted = [*world.a.all_rows, *world.b.all_rows]
    drawn = dict.fromkeys(
        value for row in inserted for name in row.drawn if (value := row.values[name]) is not None
    )
    return Recording(
        rows=tuple(rows),
        attempts=tuple(attempts),
        related=_related(world),
        functions=functions,
        now=world.now,
        drawn=tuple(drawn),
        printable=printable,
        columns=_columns(catalog),
        identifiers={relation.label: relation.identifier for relation in catalog.relations},
        generated=Generated(frozenset(_ids(world, attempts)), (*world.tokens, world.new_token)),
    )


def _ids(world: World, attempts: Sequence[RecordedAttempt]) -> Iterator[str]:
    """The ids of the users, of the rows, and of what attempts write and pass."""
    texts: list[str | None] = [user.id for user in world.users]
    for tenant in (world.a, world.b):
        texts += [*tenant.claims.values(), *tenant.headers.values()]
    for user in world.users:
        for row in user.all_rows:
            texts += row.values.values()
    for attempt in attempts:
        for showing in attempt.showings:
            texts += [c.text for c in parts(showing.action.query()) if isinstance(c, Constant)]
    for value in filter(None, dict.fromkeys(texts)):
        yield from filter(_is_random_id, values.elements(value))


def _is_random_id(text: str) -> bool:
    try:
        found = UUID(text)
    except ValueError:
        return False
    return found.version == 4 and str(found) == text


def _columns(catalog: Catalog) -> dict[tuple[str, str, str], tuple[str, ...]]:
    """The columns on which the API roles have each privilege, for what requests can reach."""
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}
    whole = [relation for relation in catalog.reachable if relation.partition_of is None]
    roles = [role for role in ("anon", "authenticated") if role in catalog.roles]
    for relation, role, action in product(whole, roles, (SELECT, INSERT, UPDATE)):
        columns = [c.name for c in relation.columns if relation.may(role, action.upper(), c.name)]
        found[relation.label, role, action] = tuple(sorted(columns))
    return found


def _related(world: World) -> dict[str, frozenset[str]]:
    """Table or view → the tables that its foreign keys, policies and view definitions lead to."""
    plan = world.plan
    found = {}
    for relation in plan.catalog.relations:
        reached: set[int] = set()
        waiting = [relation.oid]
        while waiting:
            oid = waiting.pop()
            if oid in reached or oid not in plan.catalog.by_oid:
                continue
            reached.add(oid)
            other = plan.catalog.by_oid[oid]
            waiting += [key.target for key in other.foreign_keys if key.target is not None]
            waiting += [*other.reads, *plan.usage.reads.get(oid, ())]
        found[relation.label] = frozenset(plan.catalog.by_oid[oid].label for oid in reached)
    return found


# --------------------------------------------------------------------------------------
# rows


def users(connection: Connection, world: World) -> Iterator[RecordedRow]:
    """The users as Auth inserts them."""
    if not world.plan.catalog.has_auth:
        return
    ids = [u.id for u in world.users]
    query = "select to_jsonb(u) from auth.users as u where u.id = any(%s::uuid[]) order by u.id"
    for (found,) in connection.execute(query, (ids,)).fetchall():
        given = {name: found[name] for name in _USER_COLUMNS if found.get(name) is not None}
        short = _user({name: given[name] for name in ("id", "email")})
        yield RecordedRow(statement=_user(given), short=short, table=USERS, user=given["id"])


def _user(given: Mapping[str, Any]) -> sql.Composable:
    texts = [json.dumps(value) if isinstance(value, dict) else value for value in given.values()]
    return sql.SQL("insert into auth.users ({}) values ({})").format(
        sql.SQL(", ").join(map(sql.Identifier, given)), sql.SQL(", ").join(map(sql.Literal, texts))
    )


def rows_of(world: World) -> Iterator[tuple[Row, RecordedRow]]:
    """The rows of the tables with their statements, parents first; keys that close a cycle are set
    at the end.
    """
    last = []
    tenants = (world.a, world.b)
    yield from _further(tenants, of_storage=True)
    for step in world.plan.steps:
        for relation in step.relations:
            later = step.later.get(relation.oid, ())
            for tenant in tenants:
                for user in tenant.users:
                    row = user.rows.get(relation.oid)
                    if row is not None:
                        null = [key for key in later if not is_deferred(relation, key)]
                        if len(null) < len(later):
                            deferral = world.plan.deferral
                            yield from (
                                (row, RecordedRow(statement=text, table=relation.label))
                                for text in deferral
                            )
                        yield from ((row, recorded) for recorded in _row(row, tenant, user, null))
                        last += [(row, _set_later(row, key)) for key in null if _is_set(row, key)]
    yield from last
    yield from _further(tenants, of_storage=False)


def _further(tenants: Sequence[Tenant], *, of_storage: bool) -> Iterator[tuple[Row, RecordedRow]]:
    """The files, to which rows may refer, or the rows in other states."""
    for tenant in tenants:
        for user in tenant.users:
            for row in user.extra:
                if row.relation.is_storage == of_storage:
                    yield from ((row, recorded) for recorded in _row(row, tenant, user, ()))


def _row(
    row: Row, tenant: Tenant, user: User, later: Sequence[Constraint]
) -> Iterator[RecordedRow]:
    relation = row.relation
    omitted = {name for key in later for name in key.columns} | row.computed
    columns = [
        c
        for c in relation.columns
        if not c.generated
        and c.name not in omitted
        and (row.values.get(c.name) is not None or c.default is not None)
    ]
    text = sql.SQL("insert into {} ({}) {}values ({})").format(
        relation.identifier,
        sql.SQL(", ").join(c.identifier for c in columns),
        sql.SQL("overriding system value " if any(c.identity for c in columns) else ""),
        sql.SQL(", ").join(row.constants([c.name for c in columns]).values()),
    )
    settings: tuple[tuple[str, str], ...] = ()
    if row.with_claims and relation.triggers:
        settings = tuple(request_settings(claims_of(tenant, user), tenant.headers or None).items())
    if not row.reused:
        yield RecordedRow(statement=text, settings=settings, table=relation.label)
        return
    # a trigger inserts it, with other values
    optional = sql.SQL("{} on conflict do nothing").format(text)
    yield RecordedRow(statement=optional, settings=settings, table=relation.label, optional=True)
    keys = []
    for key in dict.fromkeys((row.found_by, relation.primary_key, *relation.unique_keys)):
        if key and all(row.values.get(column) for column in key):
            keys.append(sql.SQL("({})").format(equal(row.constants(key), " and ")))
    same = sql.SQL(" or ").join(keys)
    changed = [c.name for c in columns if c.identity != "a"]
    update = sql.SQL("update {} set {} where {}").format(
        relation.identifier, equal(row.constants(changed), ", "), same
    )
    yield RecordedRow(statement=update, settings=settings, table=relation.label)


def _is_set(row: Row, key: Constraint) -> bool:
    return all(row.values.get(name) is not None for name in key.columns)


def _set_later(row: Row, key: Constraint) -> RecordedRow:
    text = sql.SQL("update {} set {} where {}").format(
        row.relation.identifier, equal(row.constants(key.columns), ", "), row.condition
    )
    return RecordedRow(statement=text, table=row.relation.label)


# --------------------------------------------------------------------------------------
# attempts


def _caller(persona: Persona, topic: Topic | None = None) -> Caller:
    """The caller without the generated rows; on a private channel of Realtime, with its topic."""
    settings = dict(persona.settings)
    if topic is not None:
        settings[topics.SETTING] = topic.name
    label = persona.label if topic is None else f"{persona.label} on {topic.shown}"
    return Caller(
        role=persona.role,
        claims=dict(persona.claims or {}),
        headers=dict(persona.headers or {}),
        settings=settings,
        label=label,
    )


def recorded(one: AnyAttempt) -> RecordedAttempt:
    """An attempt of any kind."""
    match one:
        case Bypass():
            return _of_bypass(one)
        case TopicAttempt():
            return _of_topic(one)
        case Attempt():
            return _of_row(one)
    raise TypeError(type(one))


def _of_row(attempt: Attempt) -> RecordedAttempt:
    """An attempt on a row."""
    return RecordedAttempt(
        object=attempt.label,
        caller=_caller(attempt.caller),
        whose=attempt.whose,
        # the values of a column, and the names of attempts, are attempts of their own
        verb=attempt.action,
        column=attempt.column,
        name=attempt.name,
        outcome=attempt.outcome,
        showings=tuple(_showings(attempt)),
        of=attempt.relation.label,
        value=attempt.value or "",
        sent=attempt.sent or _refused_update(attempt),
        decided_by_trigger=attempt.around.effect is not None,
    )


def _of_topic(channel: TopicAttempt) -> RecordedAttempt:
    """A caller that receives or sends on a topic, which is part of its label."""
    return RecordedAttempt(
        object=CHANNELS,
        caller=_caller(channel.caller, channel.topic),
        whose="none",
        verb="receive" if channel.action == SELECT else "send",
        column=channel.extension,
        outcome=channel.outcome,
        showings=(),
        of=CHANNELS,
        sent=channel.sent,
    )


def _refused_update(attempt: Attempt) -> Action | None:
    """An update of a row of which the caller may write no column; None if no column can be written
    at all.
    """
    row = attempt.row
    for column in attempt.relation.columns:
        written = not column.generated and column.identity != "a" and column.name not in row.key
        if attempt.action == UPDATE and written:
            return statements.update(row, {column.name: row.values.get(column.name)})
    return None


def _showings(attempt: Attempt) -> Iterator[Showing]:
    sent, row = attempt.sent, attempt.row
    if sent is None:
        return
    if isinstance(sent, Change) and sent.cursor is not None:
        yield Showing(sent.by_key())
        yield Showing(sent.of_all())
        sent = sent.by_key()
    else:
        yield Showing(sent)
    if attempt.action == UPDATE and row.key:
        value = sql.SQL("select {} from {} where {}").format(
            sql.Identifier(attempt.column), row.relation.identifier, row.condition
        )
        yield Showing(sent, value)


def _of_bypass(bypass: Bypass) -> RecordedAttempt:
    """An action on a view or function."""
    if isinstance(bypass.object, Function):
        showings = [Showing(bypass.sent[0])]
        for row in bypass.watch.rows if isinstance(bypass, FunctionCall) else ():
            watched = sql.SQL("select * from {} where {}").format(
                row.relation.identifier, row.condition
            )
            showings.append(Showing(bypass.sent[0], watched))
    else:
        showings = [Showing(action) for action in bypass.sent]
    return RecordedAttempt(
        object=bypass.label,
        caller=_caller(bypass.caller),
        whose=bypass.whose,
        verb=bypass.action,
        outcome=bypass.outcome,
        showings=tuple(showings),
        of=bypass.label,
        of_function=isinstance(bypass.object, Function),
    )


def _truncations(world: World) -> Iterator[RecordedAttempt]:
    """TRUNCATE, which no policy restricts, by privilege."""
    catalog = world.plan.catalog
    for relation in catalog.relations:
        if relation.is_table and not relation.is_storage and relation.schema in catalog.served:
            for role in sorted(
                {"anon", "authenticated"} & set(catalog.schema_users[relation.schema])
            ):
                outcome = ROWS if relation.may(role, "TRUNCATE") else DENIED
                yield RecordedAttempt(
                    object=relation.label,
                    caller=Caller(role=role, claims={"role": role}, headers={}, label=role),
                    whose="none",
                    verb="truncate",
                    outcome=outcome,
                    showings=(Showing(Truncate(relation.identifier)),),
                    of=relation.label,
                )
