"""Try what requests can reach through functions that run as their owner, through the triggers and
rules of user tables, and through tables and views that they can read.

Guests and users make jobs first, which finish, fail, are cancelled and deleted, scheduled jobs run,
and Auth calls its hooks. Then each function is called with arguments that mean another user, its
job, a secret or a file; rows with such values are written to each table, and read again, changed
and deleted. What reads a table that users write, a function or a scheduled job, runs after they
have written. A commit's checks end each of these. What can be read must not show jobs of others,
wherever triggers have copied them. A change of another user or its jobs, or an answer that contains
a secret or an address, is an error, whatever the text says. Nothing is called that acts outside of
its transaction or takes locks on tables, as far as its text shows. What it calls may do that, read
all rows, lock rows or take numbers from sequences, so this happens on an embedded server only.
"""

import base64
import json
import re
import secrets
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product, repeat
from pathlib import Path
from string import Template
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement, read
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.database.request import REQUEST_SETTINGS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session import script, sign_up
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import (
    CHECK_DEFERRED,
    Impersonation,
    caller_statement,
    committed,
    own_role,
    reset_statement,
)
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.session.sign_up import NewUser
from supabase_jobs.verify.access import AREA, scheduled
from supabase_jobs.verify.access.groups import Groups, Member
from supabase_jobs.verify.access.matrix import AccessDeclaration, Given
from supabase_jobs.verify.access.reach_values import (
    ADDRESS,
    Values,
    insert_of,
    is_text,
    number_of,
    qualified,
    value_of,
)
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

_HERE = Path(__file__).parent
QUERY = _HERE / "reach.sql"

_FILES = _HERE / "reach"
_PRESENT = sql_file(_FILES / "present.sql")
_PREPARE = sql_file(_FILES / "prepare.sql")
_USERS = sql_file(_FILES / "watch_users.sql")
_AUTH = sql_file(_FILES / "watch_auth.sql")
_CRON = sql_file(_FILES / "watch_cron.sql")
_SCHEDULED = sql_file(_FILES / "cron.sql")
_EVENT = sql_file(_FILES / "event.sql")
_TOPIC = sql_file(_FILES / "topic.sql")
_ATTEMPT = sql_file(_FILES / "attempt.sql")
_CALLER = sql_file(_FILES / "caller.sql")
_CALLABLE = sql_file(_FILES / "callable.sql")
_ANOTHER_CALLER = sql_file(_FILES / "another_caller.sql")

# more candidates than this are left out: each takes several calls
_MOST = 200
_CALLS_PER_PROBE = 30
# rows that one caller writes, of which a trigger may count some
_SEVERAL = 5
# rows of an answer that are read
_ROWS = 200

_OUTSIDE = re.compile(
    r"\b((net\.)?http(_\w+)?(?=\s*\()|dblink\w*|copy|pg_terminate_backend|pg_cancel_backend"
    r"|pg_(try_)?advisory_lock\w*|lo_export|lo_import|alter|drop|truncate|lock\s+table|create"
    r"|vacuum|reindex|refresh|pg_reload_conf|pg_sleep\w*)\b",
    re.IGNORECASE,
)
_TRUNCATE = re.compile(r"\btruncate\b", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_DYNAMIC = re.compile(r"\bexecute\b|\b(query|table|cursor)_to_xml|\bregclass\b", re.IGNORECASE)
# what decides by a value whether something happens
_CHOOSES = re.compile(
    r"'[^']|\b(if|case|when|loop|while|limit|exists|count|now|current_\w+)\b", re.IGNORECASE
)
# what makes a value of which the caller may know the origin
_COMPUTES = re.compile(r"\b(md5|sha\d+|digest|hmac|encode|decode)\s*\(", re.IGNORECASE)
# what every user writes into its own row of auth.users
_METADATA = "raw_user_meta_data"
# what everybody writes into its own request or token
_OF_REQUEST = re.compile(r"user_metadata|user_meta_data|\bheaders\b|\bcookies\b", re.IGNORECASE)
# what only the service writes into a token
_OF_SERVICE = re.compile(r"app_metadata|app_meta_data", re.IGNORECASE)
_BUCKET = re.compile(r"\bbucket", re.IGNORECASE)
_LITERAL = re.compile(r"'((?:[^']|'')*)'")
_OF_TRIGGER = "trigger that bypasses row level security"
_OF_FUNCTION = "function that bypasses row level security"
_OF_VIEW = "view that bypasses row level security"
_OF_DYNAMIC = "lint", "security_definer_dynamic_sql"
# what metadata may be called besides the literals of a trigger
_NAMES_OF_METADATA = ("id", "user_id", "guest_id", "email")
# what may decide by the caller what it sees, other than its id
_BY_CALLER = re.compile(
    r"\b(\w*roles?|jwt|claims?|\w*metadata|\w*meta_data|session_user"
    r"|current_(?!date|time)\w+)\b|[0-9a-f]{8}-[0-9a-f]{4}-",
    re.IGNORECASE,
)
_CHOOSES_ROWS = re.compile(r"\b(if|case|execute)\b", re.IGNORECASE)
_READ = re.compile(r"\b(?:from|join)\s+(?!lateral\b|\()([\w.\"]+)", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:insert\s+into|update|merge\s+into)\s+([\w.\"]+)", re.IGNORECASE)
_CHANGES = re.compile(r"\b(insert|update|delete|truncate|merge|copy)\b", re.IGNORECASE)
_CALLED = re.compile(r"\b([\w\"]+\.[\w\"]+)\s*\(")
# what holds the key of the row that the caller has written
_WRITTEN = sql.SQL("current_setting('verify.row', true)")
_TABLE, _VIEW, _STORED = "table", "view", "materialized view"
# a table whose rows users change, but into which they insert none
_CHANGED = "changed"
# what Realtime sends to everybody who knows the topic
_MESSAGES = "messages"
# a table of which requests change or delete rows that others insert
_KEPT = "kept"
# a table whose rows may make users members of the same group
_MEMBER = "member"
_SIGN_UP = "sign-up"
# a trigger of a managed table that may change the owner of a job
_STATE = "state"
# Storage, Realtime and the functions for queues read their tables as the caller
_SERVED = ("storage", "realtime", "pgmq_public")
# more literals than this of a text are left out
_MOST_LITERALS = 8
# what makes a function another caller
_SETS = re.compile(r"\bset_config\b|\bpg_settings\b|\bset\s", re.IGNORECASE)
_SETTINGS_OF_CALLER = (
    ("role", "service_role"),
    ("request.jwt.claims", '{"role": "service_role"}'),
)
_IDENTITY = ["role", *REQUEST_SETTINGS]
_OF_BACKEND = {
    "header": "the headers of requests that the server sends, which hold keys",
    "answer": "the answers to requests that the server sends",
    "entry": "the audit log of Auth, with the addresses of all users",
    "command": "the commands of scheduled jobs, which may hold keys",
}
_FIX_OF_FILES = (
    "Let the policies of storage.objects compare the folder or the owner of a file with the caller."
)
_ANOTHER = "another user"
_OF_MEMBER = (
    "changes or deletes the account, a session or a key of another user who is in the same group"
)
_SEGMENT = r"[\w+/-]+=*"
_TOKEN = re.compile(rf"{_SEGMENT}\.({_SEGMENT})\.{_SEGMENT}")
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-"
_CLAIMS = re.compile(r"\{[^{}]*\}")
# at least 20 bytes as base64 or hexadecimal digits
_SIGNATURE = re.compile(r"(?<![\w-])[\w+/]{27,}=*(?![\w-])")
_ROLES_OF_SERVICE = ("service_role", "supabase_admin", "postgres")
# the row is written, and the own role is back
_BEFORE_DELETE = 2

# schema, kind, … : a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class Candidate:
    """A function, or a table or view, that requests can use. `names` and `types` are those of its
    arguments, or of its columns; those of a computed column are of its `relation`. `required` and
    `refers` say which columns need a value, and to which tables they refer; `key` is the one that
    identifies a row. A source is a table that users write, for what reads it. `fires` are the
    trigger functions of this table only, and `events` when they run. `shown_by` are the names by
    which a text may read it: its own, and those of the relations that show rows of a source.
    """

    kind: str
    schema: str
    name: str
    object: str
    callers: Sequence[str]
    names: Sequence[str] | None
    types: Sequence[str]
    text: str
    required: Sequence[bool] = ()
    refers: Sequence[str] = ()
    relation: str = ""
    key: str = ""
    fires: Sequence[str] = ()
    events: Sequence[str] = ()
    shown_by: Sequence[str] = ()

    @property
    def columns(self) -> list[tuple[str, str, bool]]:
        """Each column, with its type and whether it needs a value."""
        return list(zip(self.names or (), self.types, self.required, strict=True))

    def reads(self, source: "Candidate") -> bool:
        """Whether its text mentions a table."""
        return source.is_read_by(self.text)

    def is_read_by(self, text: str) -> bool:
        """Whether a text mentions this table, or a view or table that shows rows of it."""
        names = "|".join(map(re.escape, self.shown_by))
        return re.search(rf"(?<!\w)({names})(?!\w)", text) is not None

    def writes_for(self, text: str) -> bool:
        """Whether it is a function that writes a table which the text of another one reads."""
        read = {name.rpartition(".")[2].strip('"') for name in _READ.findall(text)}
        written = {name.rpartition(".")[2].strip('"') for name in _WRITES.findall(self.text)}
        return self.kind == "function" and bool(read & written)

    @property
    def literals(self) -> list[str]:
        """The first literals of its text that may be a value of a column."""
        found = dict.fromkeys(name.replace("''", "'") for name in _LITERAL.findall(self.text))
        return [one for one in found if 0 < len(one) <= 40 and "%" not in one][:_MOST_LITERALS]

    @property
    def patterns(self) -> list[str]:
        """The first literals of its text with which it may compare by LIKE."""
        found = dict.fromkeys(name.replace("''", "'") for name in _LITERAL.findall(self.text))
        return [one for one in found if len(one) <= 40 and one.strip("%") and "%" in one][:2]

    @property
    def is_tried(self) -> bool:
        """Whether somebody can use it, and it does nothing that a rollback does not undo."""
        return bool(self.callers) and _stays_inside(self.text)


def _stays_inside(text: str) -> bool:
    """Whether a function of this text does nothing that a rollback does not undo."""
    return _OUTSIDE.search(_COMMENT.sub(" ", text)) is None


@dataclass(eq=False)
class _Use:
    """One use of a candidate by a caller; `answer` is the text that it returned, `seen` the watched
    rows after it. Both are None if it failed. `own` of the statements are the use.
    `names_values`: it contains values, which an answer may repeat. `deletes`: the owner of a job
    deletes it in the end, and `blocking`: it cannot, because a row of this table refers to it.
    `returning`: the own statements that have returned a row, by their numbers. `control`: the same
    without what the caller does; `is_control`: it is that of others. `wrote`: the commands that
    have changed a row. `is_refused`: a function has raised an error itself.
    """

    candidate: Candidate | None
    caller: Caller
    statements: Sequence[Statement]
    answer: str | None = None
    seen: Mapping[str, Sequence[str]] | None = None
    own: int = field(default=1)
    names_values: bool = True
    deletes: bool = False
    blocking: str = ""
    control: "_Use | None" = None
    is_control: bool = False
    wrote: frozenset[str] = frozenset()
    is_refused: bool = False
    returning: frozenset[int] = frozenset()

    def returned(self, asked: Statement) -> bool:
        """Whether this one of the own statements has returned a row."""
        return any(self.statements[number] == asked for number in self.returning)

    def read(self, result: GroupResult) -> None:
        """Read the answer and the watched rows."""
        error = result.error
        must_work = self.candidate is None and not self.deletes
        if isinstance(error, LOCK_ERRORS) or (error and must_work):
            raise error
        if error is not None:
            context = (error.diag.context or "").partition("\n")[0]
            self.is_refused = context.endswith("at RAISE")
            refers = isinstance(error, psycopg.errors.ForeignKeyViolation)
            if self.deletes and refers and len(result.answers) == _BEFORE_DELETE:
                self.blocking = f"{error.diag.schema_name}.{error.diag.table_name}"
            return
        if self.deletes:
            return
        answers = result.answers
        pairs = zip(self.statements[: self.own], answers, strict=False)
        self.wrote = frozenset(one.sql.partition(" ")[0] for one, answer in pairs if answer.count)
        own = answers[: self.own]
        self.returning = frozenset(number for number, answer in enumerate(own) if answer.rows)
        rows = [row for answer in own for row in answer.rows]
        self.answer = "\n".join(str(row[0]) for row in rows)
        seen: dict[str, list[str]] = {}
        for answer in answers[self.own + 1 :]:
            for what, value in answer.rows:
                seen.setdefault(what, []).append(value)
        self.seen = {what: sorted(values) for what, values in seen.items()}


@dataclass(eq=False)
class _Answered:
    """Statements of a caller, and the rows that the last one returned; None if one failed."""

    caller: Caller
    statements: Sequence[Statement]
    rows: Sequence[Row] | None = None

    def read(self, result: GroupResult) -> None:
        """Read the rows of the last statement."""
        if isinstance(result.error, LOCK_ERRORS):
            raise result.error
        self.rows = None if result.error else result.answers[-1].rows


@dataclass(frozen=True)
class _Act:
    """The statements of one use. `is_control`: what happens without the caller, for the uses that
    follow.
    """

    statements: Sequence[Statement]
    is_control: bool = False


@dataclass(frozen=True)
class _Problem:
    """A finding about a candidate, without its name."""

    message: str
    fix: str = ""
    severity: Severity = Severity.ERROR


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    exposed: Collection[str],
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
    hooks: Mapping[str, str],
) -> None:
    """Try each candidate in an `exposed` schema; add a finding for each that reaches another user.

    `rows` are those of `QUERY`, and `hooks` the texts of the functions that Auth calls for
    messages and attempts. The first user of the fixture calls, the second one is the other.
    On a database in use nothing is tried.
    """
    reported = {finding.object for finding in context.findings}
    reported |= {finding.id.parts[-1] for finding in context.findings}
    found = [Candidate(*row) for row in rows]
    views = [one for one in found if one.relation == _VIEW and one.object in reported]
    views = [one for one in views if one.kind == "relation" and one.callers]
    found = [one for one in found if one.kind != "relation" or one.object not in reported]
    users = declared.fixture.users
    changed = [one for one in found if one.kind == _CHANGED and one.schema in exposed]
    sources = [*sources_of(rows, exposed), *changed]
    tried = [
        one
        for one in found
        if one.kind not in ("source", _CHANGED, _MEMBER)
        and (
            one.schema in exposed
            or one.kind in (_SIGN_UP, _STATE, _MESSAGES)
            or (one.kind == "relation" and one.schema in _SERVED)
            # tried for what its text says: nobody calls it through the API
            or (one.kind == "function" and one.object in reported)
        )
        and one.is_tried
    ][:_MOST]
    has_jobs = any(one.kind == "schedule" for one in found)
    if context.in_use or len(users) < 2 or not (tried or views or has_jobs):
        return
    jobs = (
        [_job(row, sources) for row in _SCHEDULED.rows(impersonation.connection)]
        if has_jobs
        else []
    )
    ending = _ending(impersonation, jobs, declared, frame, context)
    jobs = [job for job in jobs if job.is_tried and job.object not in ending]
    happened = [
        *(f"refresh materialized view {one.name}" for one in tried if one.relation == _STORED),
        *(job.name for job in jobs),
        *(
            f"select {hook}(current_setting('verify.event')::jsonb)"
            for hook, text in hooks.items()
            if _stays_inside(text)
        ),
    ]
    trial = _Trial(impersonation, declared, frame, context, happened, sources, exposed)
    trial.run([*tried, *(job for job in jobs if job.names)])
    trial.run_views(views)
    # members change accounts only by what runs as its owner
    members = [one for one in found if one.kind == _MEMBER]
    functions = [
        one
        for one in tried
        if one.kind == "function"
        and one.schema in exposed
        and "uuid" in one.types
        and _CHANGES.search(one.text)
        and _reads_any(one, members)
    ]
    if functions or any(one.kind in ("table", _KEPT) for one in tried):
        texts = {one.name: one.literals for one in tried if one.kind in ("table", _KEPT)}
        trial.run_in_groups(members, functions, texts)


def _reads_any(function: Candidate, tables: Sequence[Candidate]) -> bool:
    """Whether the text of a function mentions one of the tables."""
    return any(table.is_read_by(function.text) for table in tables)


def _ending(
    impersonation: Impersonation,
    jobs: Sequence[Candidate],
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
) -> Collection[str]:
    """The scheduled jobs, by the names of their objects, that end what is in use. One may truncate
    a table: nobody else waits for the lock.
    """
    texts = {job.object: job.name for job in jobs if _stays_inside(_TRUNCATE.sub(" ", job.text))}
    if not (texts and declared.reach.kept):
        return ()
    names = script.quoted(impersonation.ids)
    present = (attempt(script.filled(one, names)) for one in declared.reach.present)
    made = [*frame.before, *chain.from_iterable(present), *committed(impersonation)]
    return scheduled.check(impersonation, texts, made, declared.reach.kept, context)


def sources_of(rows: Sequence[Row], exposed: Collection[str]) -> list[Candidate]:
    """The tables that users write, among the rows of `QUERY`."""
    found = [Candidate(*row) for row in rows]
    return [one for one in found if one.kind == "source" and one.schema in exposed]


def tables_of(rows: Sequence[Row]) -> list[Candidate]:
    """The tables of the project with all of their columns, among the rows of `QUERY`."""
    found = [Candidate(*row) for row in rows]
    return [one for one in found if one.kind == _MEMBER]


def rows_of(table: Candidate, user: uuid.UUID, other: uuid.UUID) -> Iterator[str]:
    """Statements that insert a row each that names the user in one column, and another user in the
    other columns of this type.
    """
    ids = [column for column, type, _ in table.columns if type == "uuid"]
    for own in ids:
        values = {
            column: value_of(
                type,
                repeat(sql.Literal("verify")),
                sql.Literal(1),
                user if column == own else other,
            )
            for column, type, required in table.columns
            if required or column in ids
        }
        yield insert_of(table.name, values, overriding=True).as_string(None)


def functions_of(rows: Sequence[Row], exposed: Collection[str]) -> list[Candidate]:
    """The functions that users can call, among the rows of `QUERY`."""
    found = [Candidate(*row) for row in rows]
    return [
        one for one in found if one.kind == "function" and one.schema in exposed and one.is_tried
    ]


def writes_of(source: Candidate, user: uuid.UUID, text: str) -> tuple[str, list[str]]:
    """A statement that inserts a row of the user, and those that write a text into each column: the
    calls of a function write one too.
    """
    if source.kind == "function":
        values = [
            value_of(type, repeat(sql.Literal(text)), sql.Literal(1), user) for type in source.types
        ]
        return "select", [_call(source, values).sql]
    of_user = [column for column, type, _ in source.columns if type == "uuid"]
    named = [column for column, type, _ in source.columns if is_text(type)]
    own = {
        column: value_of(type, iter([sql.Literal("verify")]), sql.Literal(1), user)
        for column, type, required in source.columns
        if required or column == source.key or type == "uuid"
    }
    changes = []
    for column in named:
        chosen = sql.Literal(text)
        changes.append(insert_of(source.name, {**own, column: chosen}).as_string(None))
        for id in of_user:
            update = sql.SQL("update {} set {} = {} where {} = {}").format(
                qualified(source.name),
                qualified(column),
                chosen,
                qualified(id),
                sql.Literal(str(user)),
            )
            changes.append(update.as_string(None))
    return insert_of(source.name, own).as_string(None), changes


def _job(row: Row, sources: Sequence[Candidate]) -> Candidate:
    """A scheduled job, whose name is its command, with the tables that it reads and users write."""
    name, command, body = row
    job = Candidate(
        kind="job",
        schema="cron",
        name=command,
        object=f"scheduled job {name}",
        callers=["authenticated"],
        names=None,
        types=(),
        text=f"{command} {body}",
    )
    names = [source.name for source in sources if job.reads(source)]
    return replace(job, names=[*names, *(["auth.users"] if _METADATA in job.text else [])])


class _Trial:
    """The uses of all candidates, on the fixture rows and the secrets of one of its users."""

    def __init__(
        self,
        impersonation: Impersonation,
        declared: AccessDeclaration,
        frame: Frame,
        context: Context,
        happened: Sequence[str],
        sources: Sequence[Candidate],
        exposed: Collection[str],
    ) -> None:
        self._sources, self._exposed = sources, exposed
        self._tables = sorted({table for table, _, _ in declared.privileges})
        self._impersonation = impersonation
        self._context = context
        ids = impersonation.ids
        self._reach = declared.reach
        self._stranger = uuid.uuid4()
        self._own, self._other = (ids[name] for name in declared.fixture.users[:2])
        self._ids = [self._other, *(ids[name] for name in self._reach.ids)]
        self._secret = f"verify{secrets.token_hex(8)}"
        present, [(of_auth,)] = read(
            impersonation.connection,
            [_PRESENT.statement(), _AUTH.statement(str(self._other), str(self._own))],
        )
        self._present = {name for kind, name in present if kind != "queue"}
        self._shown = [
            Template(text).safe_substitute(impersonation.texts) for text in self._reach.shown
        ]
        self._values = Values(
            ids=self._ids,
            secret=self._secret,
            shown=self._shown,
            texts=self._reach.texts,
            queues=[name for kind, name in present if kind == "queue"],
            has_jobs="cron.job" in self._present,
        )
        self._phone = f"1555{secrets.randbelow(10**8):08}"
        self._address = ""
        self._blocking: Collection[str] = ()
        settings = {
            "verify.victim": str(self._other),
            "verify.own": str(self._own),
            "verify.secret": self._secret,
            "verify.phone": self._phone,
            "verify.ids": "{" + ",".join(map(str, self._ids)) + "}",
            "verify.shown": "|".join(map(re.escape, self._shown)),
        }
        prepare = [Statement("select set_config(%s, %s, true)", pair) for pair in settings.items()]
        given = [statement for one in self._reach.given for statement in self._given(one)]
        before = (
            *frame.before,
            *prepare,
            _PREPARE.statement(),
            _EVENT.statement(),
            *given,
            *(statement for one in happened for statement in attempt(one)),
            _TOPIC.statement(),
            *committed(impersonation),
        )
        self._frame = Frame(before, frame.undo)
        self._runner = Runner(impersonation, context.deadline, self._frame)
        self._watch = [_USERS.statement(self._other, self._own)]
        if self._reach.watch:
            self._watch.append(Statement(self._reach.watch, ids))
        if of_auth is not None:
            self._watch.append(Statement(of_auth))
        if "cron.job" in self._present:
            self._watch.append(_CRON.statement(self._secret))

    def _given(self, given: Given) -> list[Statement]:
        """The statements for one that happens before, as a request if it has a caller."""
        statements = attempt(script.filled(given.sql, script.quoted(self._impersonation.ids)))
        if given.caller is None:
            return statements
        caller = given.caller.filled(self._impersonation.texts)
        back = reset_statement(self._impersonation, caller)
        return [caller_statement(caller), *statements, back]

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Use each candidate, and report what it reaches."""
        uses = [use for candidate in candidates for use in self._uses(candidate)]
        select = Statement(f"select {ADDRESS}")
        nothing = self._use(None, "authenticated", [select])
        deletes = [
            replace(self._use(None, "authenticated", group), deletes=True)
            for group in self._deletes(select)
        ]
        self._runner.run(probes_of([nothing, *deletes, *uses], _CALLS_PER_PROBE))
        self._address = nothing.answer or ""
        self._blocking = {use.blocking for use in deletes}
        for candidate in candidates:
            own = [use for use in uses if use.candidate is candidate]
            problem = self._problem(own, nothing)
            is_table = candidate.kind == "table"
            if problem is None and is_table and self._is_proven(candidate, own):
                self._take_back((_OF_TRIGGER, function) for function in candidate.fires)
            if problem is None and self._joins(candidate, own):
                ends = ((_OF_TRIGGER, function) for function in candidate.fires)
                self._take_back(ends, Severity.INFO)
            if problem is None and candidate.kind == "function":
                self._take_back(self._proven(candidate, own), Severity.INFO)
            if problem is None and self._shows_own_rows(candidate):
                self._take_back([(_OF_FUNCTION, candidate.object)])
            if candidate.kind != "function" or candidate.schema in self._exposed:
                self._report(candidate, problem)

    def run_views(self, views: Sequence[Candidate]) -> None:
        """Make infos of the errors about views that run as their owner and only count: they have
        one row of numbers, also where there are no rows.
        """
        worlds = [[], [Statement(one.sql, self._impersonation.ids) for one in self._reach.alone]]
        for view in views if self._reach.alone else ():
            caller = self._caller(view, view.callers[0])
            query = sql.SQL("select to_jsonb(r) from {} as r limit 2").format(qualified(view.name))
            read = [caller_statement(caller), Statement(query.as_string(None))]
            own = own_role(self._impersonation)
            answers = [_Answered(caller, [own, *removed, *read]) for removed in worlds]
            self._runner.run(probes_of(answers, _CALLS_PER_PROBE))
            if all(_are_numbers(one.rows or ()) for one in answers):
                self._take_back([(_OF_VIEW, view.object)], Severity.INFO)

    def run_in_groups(
        self,
        members: Sequence[Candidate],
        functions: Sequence[Candidate],
        texts: Mapping[str, Sequence[str]],
    ) -> None:
        """Let the caller change rows of the groups in which the other user is too, also with the
        texts that the triggers of the tables suggest, and call the functions that change something
        for members; report those by which it reaches the account, the sessions or the keys of the
        other user.
        """
        tables = {one.name: _member(one) for one in members}
        groups = Groups(list(tables.values()), uuid.uuid4())
        literals = dict.fromkeys(literal for one in members for literal in one.literals)
        found: set[str] = set()
        changing = [one for one in members if one.schema in self._exposed and one.callers]
        for literal in ["", *literals][:_MOST_LITERALS]:
            uses = [
                self._use(one, "authenticated", [Statement(change)])
                for one in changing
                for change in groups.changes(tables[one.name], self._other, texts.get(one.name, ()))
            ] + [
                self._use(one, "authenticated", [call])
                for one in functions
                if one.name not in found
                for call in self._calls_of_member(one, groups)
            ]
            nothing = self._use(None, "authenticated", [Statement("select 1")])
            rows = groups.statements(self._own, self._other, literal)
            before = [*self._frame.before, *chain.from_iterable(map(attempt, rows))]
            frame = replace(self._frame, before=tuple(before))
            runner = Runner(self._impersonation, self._context.deadline, frame)
            runner.run(probes_of([nothing, *uses], _CALLS_PER_PROBE))
            found |= {
                use.candidate.name
                for use in uses
                if use.candidate is not None and _reaches_account(use, nothing)
            }
            changing = [one for one in changing if one.name not in found]
        for one in (*members, *functions):
            if one.name in found:
                self._report(one, _Problem(_OF_MEMBER))

    def _calls_of_member(self, function: Candidate, groups: Groups) -> Iterator[Statement]:
        """Calls with each choice of the group and the other user for the ids."""
        ids = [
            (self._other, groups.group) if type == "uuid" else (self._other,)
            for type in function.types
        ]
        for chosen in islice(product(*ids), _MOST_LITERALS):
            text = repeat(sql.Literal("verify"))
            yield _call(
                function,
                [
                    value_of(type, text, sql.Literal(1), id)
                    for type, id in zip(function.types, chosen, strict=True)
                ],
            )

    @property
    def _joined(self) -> Statement:
        """The statement that returns a row after the guest has become a user."""
        return Statement(self._reach.joined, self._impersonation.ids)

    def _joins(self, trigger: Candidate, uses: Sequence[_Use]) -> bool:
        """Whether a sign-up changes nothing of others by what can be known of them, and by the id
        that only its guest knows, the guest's jobs become those of the new user.
        """
        return trigger.kind == _SIGN_UP and uses[-1].returned(self._joined)

    def _is_proven(self, candidate: Candidate, uses: Sequence[_Use]) -> bool:
        """Whether the uses have run all that its triggers do: their texts choose nothing by a
        value, and each event has changed a row of the caller.
        """
        wrote: set[str] = set()
        for use in uses:
            wrote |= set() if use.is_control else use.wrote
        return not _CHOOSES.search(_COMMENT.sub(" ", candidate.text)) and wrote >= {
            *candidate.events
        }

    def _take_back(
        self, ends: Iterable[tuple[str, ...]], severity: Severity = Severity.WARNING
    ) -> None:
        """Make warnings or infos of the errors whose ids have these ends: a text was judged."""
        judged = list(ends)
        above = {Severity.ERROR, Severity.WARNING} - {severity}
        for number, one in enumerate(self._context.findings):
            if one.severity in above and any(one.id.ends_with(*end) for end in judged):
                self._context.findings[number] = replace(one, severity=severity)

    def _proven(self, function: Candidate, uses: Sequence[_Use]) -> Iterator[tuple[str, ...]]:
        """The ends of the ids of findings about a function of which everything was tried: it
        chooses nothing and shows each caller its own rows, it only passes on what its caller can
        ask itself, or it runs dynamic SQL for the literals of its own text alone.
        """
        text = _COMMENT.sub(" ", function.text)
        bypass = _OF_FUNCTION, function.object
        if any(one.id.ends_with(*bypass) for one in self._errors) and (
            (not self._called_in(text) and _counts(function, text, uses))
            or _is_of_service(text, uses)
            or self._only_inserts(text, uses)
            or (not _chooses(function, text) and self._shows_own_rows(function))
            or self._passes_on(text, function.callers)
        ):
            yield bypass
        if _is_closed(function, text, uses):
            yield *_OF_DYNAMIC, function.object

    def _passes_on(
        self, text: str, callers: Sequence[str], before: Collection[str] = ("auth.uid",)
    ) -> bool:
        """Whether a function of this text reads and changes nothing but by functions that run as
        their owner too, and that its callers may call themselves.
        """
        called = {*_CALLED.findall(text)} - {*before}
        if (
            not called
            or not {*_READ.findall(text)} <= called
            or any(one.search(text) for one in (_CHANGES, _BY_CALLER, _SETS, _DYNAMIC))
        ):
            return False
        rows = _CALLABLE.rows(self._impersonation.connection, sorted(called), callers)
        return {name for name, _, _ in rows} == called and all(
            as_owner or self._passes_on(_COMMENT.sub(" ", body), callers, {*before, *called})
            for _, as_owner, body in rows
        )

    def _called_in(self, text: str) -> set[str]:
        """The functions that a text calls, other than those that return who calls."""
        return {*_CALLED.findall(text)} - {*self._reach.callers}

    def _only_inserts(self, text: str, uses: Sequence[_Use]) -> bool:
        """Whether a function reads and changes no row, and what it inserts is its caller's: no call
        has inserted one of others.
        """
        return (
            any(use.answer is not None for use in uses)
            and not _READ.findall(text)
            and {one.lower() for one in _CHANGES.findall(text)} == {"insert"}
            and not any(one.search(text) for one in (_SETS, _DYNAMIC, _BY_CALLER))
            and self._called_in(text) <= {*_WRITES.findall(text)}
        )

    def _shows_own_rows(self, function: Candidate) -> bool:
        """Whether a function answers each caller as if there were no rows of others. Its text reads
        nothing else and knows no caller but by its id. One that chooses by other arguments than an
        id, whose literals are tried, reads no user by the id either.
        """
        text = _COMMENT.sub(" ", function.text)
        readable = {*self._tables}
        if not _chooses(function, text):
            readable.add("auth.users")
        if (
            function.kind != "function"
            or not any(one.id.ends_with(_OF_FUNCTION, function.object) for one in self._errors)
            or _BY_CALLER.search(text)
            or not {*_READ.findall(text)} <= readable
            or self._called_in(text)
        ):
            return False
        pairs = [pair for alone in self._reach.alone for pair in self._compared(function, alone)]
        self._runner.run(probes_of(chain(*pairs), _CALLS_PER_PROBE))
        answered = [pair for pair in pairs if pair[0].rows is not None]
        return bool(answered) and all(
            with_others.rows == without.rows for with_others, without in pairs
        )

    @property
    def _errors(self) -> list[Finding]:
        return [one for one in self._context.findings if one.severity is Severity.ERROR]

    def _compared(self, function: Candidate, alone: Given) -> Iterator[tuple[_Answered, _Answered]]:
        """Calls of one caller, with the rows of others and without."""
        if alone.caller is None or alone.caller.role not in function.callers:
            return
        caller = alone.caller.filled(self._impersonation.texts)
        own, ids = own_role(self._impersonation), self._impersonation.ids
        become, removed = caller_statement(caller), Statement(alone.sql, ids)
        states = [Statement(state, ids) for state in self._reach.states]
        for values in self._values.profiles(function.types, more=self._more(function)):
            last = [become, _call(function, values)]
            for before in ([], *([state] for state in states)):
                yield (
                    _Answered(caller, [own, *before, *last]),
                    _Answered(caller, [own, *before, removed, *last]),
                )

    def _use(self, candidate: Candidate | None, role: str, statements: Sequence[Statement]) -> _Use:
        """A use, after which the own role looks at what is watched."""
        kind = candidate.kind if candidate is not None else ""
        own = [*statements, *([CHECK_DEFERRED] if self._impersonation.deferred else [])]
        if candidate is not None and self._identified(candidate):
            own.append(_ANOTHER_CALLER.statement(_IDENTITY))
        after = [own_role(self._impersonation), *self._watch]
        return _Use(
            candidate=candidate,
            caller=self._caller(candidate, role),
            statements=[*own, *after],
            own=len(own),
            names_values=kind not in ("relation", _MESSAGES),
            deletes=kind == "table" and own_role(self._impersonation) in statements[1:],
        )

    def _caller(self, candidate: Candidate | None, role: str) -> Caller:
        claims = {"role": role}
        if role == "authenticated":
            # nothing of what a relation shows is that of a user without rows
            is_relation = candidate is not None and candidate.kind == "relation"
            claims["sub"] = str(self._stranger if is_relation else self._own)
        return Caller(
            role=role,
            claims=claims,
            headers={},
            settings={"search_path": "public, extensions"},
        )

    def _uses(self, candidate: Candidate) -> Iterator[_Use]:
        if candidate.kind == "relation":
            for role in candidate.callers:
                yield from self._used(candidate, role, self._reads(candidate, role))
            return
        if candidate.kind == "parent":
            for role in candidate.callers:
                yield from self._used(candidate, role, self._ends(candidate, role))
            return
        uses = {
            "function": self._calls,
            "table": self._writes,
            _KEPT: self._changes_of_kept,
            "job": self._runs,
            "computed": self._computes,
            _MESSAGES: self._public,
            _SIGN_UP: self._sign_ups,
            _STATE: self._states,
        }
        yield from self._used(candidate, candidate.callers[0], uses[candidate.kind](candidate))

    def _used(self, candidate: Candidate, role: str, acts: Iterable[_Act]) -> Iterator[_Use]:
        control = None
        for act in acts:
            use = self._use(candidate, role, act.statements)
            use.control, use.is_control = control, act.is_control
            control = use if act.is_control else control
            yield use

    def _calls(self, function: Candidate) -> Iterator[_Act]:
        """Calls with each kind of text; the first text is a time of pg_cron in the last one. Then
        calls for a row that the caller has written before.
        """
        numbers: list[sql.Composable] = [sql.Literal(number) for number in (1, 0, -1)]
        is_dynamic = _DYNAMIC.search(function.text) is not None
        if is_dynamic:
            oids = [number_of(table) for table in self._tables]
            numbers = [*oids, *numbers] if "regclass" in function.types else [*numbers, *oids]
        more = self._more(function)
        if _COMPUTES.search(function.text):
            more += self._values.computed()
        names = function.literals if is_dynamic or _SETS.search(function.text) else ()
        if _BUCKET.search(function.text):
            more.append([sql.Literal("verify")])
        profiles = self._values.profiles(function.types, numbers, more, names)
        tables = self._tables if is_dynamic else ()
        for values in chain(profiles, self._values.of_tables(function.types, tables)):
            yield _Act([*self._identified(function), _call(function, values)])
        if _METADATA in function.text:
            become = caller_statement(self._caller(function, function.callers[0]))
            first = next(self._values.profiles(function.types, numbers))
            for value in (sql.SQL(ADDRESS), *(sql.Literal(str(id)) for id in self._ids)):
                chosen = self._chosen(function.text, value)
                before = [own_role(self._impersonation), chosen, self._with_metadata, become]
                yield _Act([*before, _call(function, first)])
        if _OF_REQUEST.search(function.text):
            first = next(self._values.profiles(function.types, numbers))
            for forged in self._forged(function):
                yield _Act([forged, _call(function, first)])
        for source in filter(function.reads, self._sources):
            first = next(self._values.profiles(function.types, [_WRITTEN]))
            key_is_text = is_text(
                dict(zip(source.names or (), source.types, strict=True)).get(source.key, "")
            )
            by_key = [
                sql.SQL("{}::{}").format(_WRITTEN, sql.SQL(type))
                if type == "uuid" or (key_is_text and type == "text")
                else value
                for type, value in zip(function.types, first, strict=True)
            ]
            for written in self._written(
                source, is_dynamic=is_dynamic, of_users="users" in function.text
            ):
                yield _Act([written, _call(function, by_key)])
            if "users" in function.text:
                yield from self._named(function, source)

    def _named(self, function: Candidate, source: Candidate) -> Iterator[_Act]:
        """Calls with the text that the caller has written into a row, which it need not see."""
        text = sql.Literal(self._values.address)
        same = [value_of(type, repeat(text), sql.Literal(1), self._own) for type in function.types]
        for values in self._own_rows(source, [[text]]):
            yield _Act([self._insert(source.name, values), _call(function, same)])

    def _forged(self, function: Candidate) -> Iterator[Statement]:
        """Metadata and headers of the caller's choice: each value under each name."""
        names = [*function.literals, *_NAMES_OF_METADATA, "role"]
        for value in (*function.literals, "service_role", "true", str(self._other)):
            chosen = dict.fromkeys(names, value)
            claims = {"role": "authenticated", "sub": str(self._own), "user_metadata": chosen}
            yield Statement(
                "select set_config('request.jwt.claims', %s, true),"
                " set_config('request.headers', %s, true)",
                (json.dumps(claims), json.dumps(chosen)),
            )

    def _more(self, candidate: Candidate) -> list[Sequence[sql.Composable]]:
        """The texts that the text of a function or trigger suggests: its own literals, alone and
        with the address of the other user, an address that nobody has, settings and fragments of
        statements.
        """
        texts: list[Sequence[sql.Composable]] = []
        several = sum(map(is_text, candidate.types)) > 1
        for one in map(sql.Literal, candidate.literals):
            texts.append([one])
            texts += [[one, sql.SQL(ADDRESS)], [sql.SQL(ADDRESS), one]] if several else []
        for pattern, of_other in product(candidate.patterns, map(str, self._ids)):
            texts.append([sql.Literal(pattern.replace("%", of_other))])
        if "users" in candidate.text:
            texts.append([sql.Literal(self._values.address)])
        if _DYNAMIC.search(candidate.text):
            texts += self._values.fragments()
        if _SETS.search(candidate.text):
            texts += [[*map(sql.Literal, pair)] for pair in _SETTINGS_OF_CALLER]
        return texts

    def _identified(self, candidate: Candidate) -> list[Statement]:
        """Keeps who the caller is, if the text of a function or trigger may change it."""
        if not (_SETS.search(candidate.text) or _DYNAMIC.search(candidate.text)):
            return []
        return [_CALLER.statement(_IDENTITY)]

    def _written(
        self, source: Candidate, *, is_dynamic: bool, of_users: bool = False
    ) -> Iterator[Statement]:
        """Inserts of rows of the caller into a table that something reads, `of_users` also with an
        address that nobody has.
        """
        texts = (
            self._values.of_texts(source.types)
            if is_dynamic
            else self._values.addresses(source.types)
        )
        if of_users:
            texts = [*texts, [sql.Literal(self._values.address)]]
        if source.kind == _CHANGED:
            yield from self._updates(source, texts)
            return
        rows = [*self._own_rows(source, texts), *self._rows(source)]
        for values in rows:
            yield self._insert(source.name, values, key=source.key)

    def _updates(
        self, source: Candidate, texts: Sequence[Sequence[sql.Composable]]
    ) -> Iterator[Statement]:
        """Updates of all rows that the caller may change: each text in each column."""
        named = [column for column, type, _ in source.columns if is_text(type)]
        for text, column in product(texts, named):
            update = sql.SQL("update {} set {} = {}").format(
                qualified(source.name), qualified(column), text[-1]
            )
            yield Statement(update.as_string(None))

    def _public(self, messages: Candidate) -> Iterator[_Act]:
        """The messages of topics that anybody can join, because their names have no random id."""
        shown = sql.Literal("|".join(map(re.escape, self._shown)))
        query = sql.SQL(
            "select left(to_jsonb(r)::text, 2000) from {} as r"
            " where not r.private and to_jsonb(r)::text ~ {} and r.topic !~ {} limit {}"
        ).format(qualified(messages.name), shown, sql.Literal(_UUID), sql.Literal(_ROWS))
        yield _Act([own_role(self._impersonation), Statement(query.as_string(None))])

    def _computes(self, function: Candidate) -> Iterator[_Act]:
        """The computed column of the rows that the caller sees: one names the other user."""
        query = sql.SQL("select left({}(r)::text, 2000) from {} as r limit {}").format(
            qualified(function.name), qualified(function.relation), sql.Literal(_ROWS)
        )
        answer = Statement(query.as_string(None))
        if function.names is None:
            yield _Act([answer])
            return
        become = caller_statement(self._caller(function, function.callers[0]))
        for values in self._rows(function):
            insert = self._insert(function.relation, values)
            yield _Act([own_role(self._impersonation), insert, become, answer])

    def _writes(self, table: Candidate) -> Iterator[_Act]:
        """Inserts of each kind of text, after which the caller reads the table, and an update or
        delete of the row behind it. Then an update or delete of a row of another user.
        """
        names = table.names or ()
        more, before = self._more(table), self._identified(table)
        for value in self._values.profiles(table.types, more=more):
            values = dict(zip(names, value, strict=True))
            written = self._insert(table.name, values)
            yield _Act([*before, written])
            for change in self._changes(table, values):
                yield _Act([*before, written, change])
        for values in [
            *self._own_rows(table, [*self._values.of_texts(table.types), *more]),
            *self._rows(table),
            *self._rows(table, complete=True),
            *self._json_rows(table),
        ]:
            written = self._insert(table.name, values)
            yield _Act([*before, written])
            yield _Act([self._insert(table.name, values, returning=True)])
            for change in self._changes(table, values):
                yield _Act([written, change])
            if any(table.refers):
                yield from map(_Act, self._deletes(written))
        yield from self._moves(table)
        for values in self._rows(table):
            # what a trigger does may depend on the number of rows
            yield _Act([self._insert(table.name, values)] * _SEVERAL)
            yield from self._changes_after(table, values)
        yield from self._changes_of_view(table)

    def _changes_of_kept(self, table: Candidate) -> Iterator[_Act]:
        """An update or delete of a row of another user, and of the caller's own, also with the
        texts that the triggers of the table suggest.
        """
        for values in self._rows(table, complete=True):
            yield from self._changes_after(table, values)
        own = {
            column: value_of(type, iter([sql.Literal("verify")]), sql.Literal(1), self._own)
            for column, type, required in table.columns
            if required or type == "uuid"
        }
        yield from self._changes_after(table, own, [*self._more(table), [sql.SQL(ADDRESS)]])
        yield from self._changes_of_view(table)

    def _changes_of_view(self, view: Candidate) -> Iterator[_Act]:
        """Changes of all rows that the caller sees in a view: its role, its address, or whose they
        are.
        """
        if view.relation != _VIEW:
            return
        texts = [[sql.Literal(text)] for text in ("service_role", self._values.address)]
        for change in self._updates(view, texts):
            yield _Act([change])
        other = sql.Literal(str(self._other))
        for column in (column for column, type, _ in view.columns if type == "uuid"):
            update = sql.SQL("update {} set {} = {}").format(
                qualified(view.name), qualified(column), other
            )
            yield _Act([Statement(update.as_string(None))])

    def _changes_after(
        self,
        table: Candidate,
        values: Mapping[str, sql.Composable],
        texts: Sequence[Sequence[sql.Composable]] = (),
    ) -> Iterator[_Act]:
        """Changes by the caller after the own role has written a row, unless there is one."""
        become = caller_statement(self._caller(table, table.callers[0]))
        insert = insert_of(table.name, values) + sql.SQL(" on conflict do nothing")
        before = [own_role(self._impersonation), Statement(insert.as_string(None)), become]
        yield _Act(before, is_control=True)
        for change in chain(self._changes(table, values), self._updates(table, texts)):
            yield _Act([*before, *self._identified(table), change])

    def _sign_ups(self, trigger: Candidate) -> Iterator[_Act]:
        """Sign-ups with metadata of the new user's choice, which others may have in their rows.
        Then one that names the id that only its guest knows.
        """
        user = uuid.uuid4()
        address = self._values.address
        of_jobs = [text for text in self._reach.texts if text in self._shown]
        known = [str(self._other), *map(str, self._ids[1:2]), *of_jobs, address]
        names = [*trigger.literals, *_NAMES_OF_METADATA]
        for value in known:
            chosen = [
                own_role(self._impersonation),
                self._chosen(trigger.text, sql.Literal(value)),
                *(
                    [Statement(self._reach.chosen, self._impersonation.ids)]
                    if self._reach.chosen
                    else []
                ),
            ]
            yield _Act(chosen, is_control=True)
            yield _Act([*chosen, *self._signed_up(user, names, value)])
        if self._reach.joined:
            secret = str(self._impersonation.ids[self._reach.secret])
            first = own_role(self._impersonation)
            yield _Act([first], is_control=True)
            yield _Act([first, *self._signed_up(user, names, secret), self._joined])

    def _states(self, trigger: Candidate) -> Iterator[_Act]:
        """Each state of jobs whose owners have written an id into them, and whose errors contain
        what the trigger looks for.
        """
        if not (self._reach.owners and self._reach.chosen):
            return
        ids = self._impersonation.ids
        owners = Statement(self._reach.owners, ids)
        words = " ".join(one.replace("%", " ") for one in _LITERAL.findall(trigger.text))
        begin = [
            own_role(self._impersonation),
            Statement("select where set_config('verify.error', %s, true) is null", (words[:500],)),
            self._chosen(trigger.text, sql.Literal(str(self._own))),
            Statement(self._reach.chosen, ids),
        ]
        yield _Act([*begin, owners], is_control=True)
        for state in self._reach.states:
            yield _Act([*begin, Statement(state, ids), owners])

    def _signed_up(self, id: uuid.UUID, names: Sequence[str], value: str) -> list[Statement]:
        """A sign-up with a value under each name of its metadata."""
        metadata = dict.fromkeys(names, value)
        return sign_up.statements([NewUser(id=id, email=self._values.address, metadata=metadata)])

    def _moves(self, table: Candidate) -> Iterator[_Act]:
        """Updates by which the caller gives a row that it has to another user, with other texts."""
        become = caller_statement(self._caller(table, table.callers[0]))
        for moved, id in product(
            [name for name, type, _ in table.columns if type == "uuid"], self._ids
        ):
            # the rows that it has without being given one, as in a view of managed rows
            update = sql.SQL("update {} set {} = {} where true").format(
                qualified(table.name), qualified(moved), sql.Literal(str(id))
            )
            yield _Act([Statement(update.as_string(None))])
        chosen = sql.Literal(f"{self._secret}@verify.invalid")
        texts = [column for column, type, _ in table.columns if is_text(type)]
        for moved, type, _ in table.columns:
            if type != "uuid" or "update" not in table.events:
                continue
            values = {
                column: value_of(type, iter([sql.Literal("verify")]), sql.Literal(1), self._own)
                for column, type, required in table.columns
                if required or column == moved
            }
            before = [own_role(self._impersonation), self._insert(table.name, values), become]
            changes = [
                *(sql.SQL("{} = {}").format(qualified(text), chosen) for text in texts),
                sql.SQL("{} = {}").format(qualified(moved), sql.Literal(str(self._other))),
            ]
            # a condition that reads columns would ask the policies for SELECT too
            update = sql.SQL("update {} set {} where true").format(
                qualified(table.name), sql.SQL(", ").join(changes)
            )
            yield _Act(before, is_control=True)
            yield _Act([*before, Statement(update.as_string(None))])

    def _changes(
        self, table: Candidate, values: Mapping[str, sql.Composable]
    ) -> Iterator[Statement]:
        """An update that changes nothing and a delete of the rows with one of these values."""
        name = qualified(table.name)
        for column, type, _ in table.columns:
            if column not in values or not (type == "uuid" or is_text(type)):
                continue
            of_row = sql.SQL(" where {} = {}").format(qualified(column), values[column])
            same = sql.SQL("update {0} set {1} = {1}").format(name, qualified(column))
            delete = sql.SQL("delete from {}").format(name)
            for change in (same, delete):
                yield Statement((change + of_row).as_string(None))

    def _deletes(self, before: Statement) -> Iterator[list[Statement]]:
        """A statement of the caller, and after it each delete of the owner of a job."""
        for text in self._reach.deletes:
            deleted = Statement(text, self._impersonation.ids)
            yield [before, own_role(self._impersonation), deleted]

    def _rows(
        self,
        table: Candidate,
        named_columns: Sequence[str] | None = None,
        *,
        complete: bool = False,
    ) -> Iterator[dict[str, sql.Composable]]:
        """Rows with only the columns that have to have a value, and for each id those that may name
        it: all of type uuid, or the given ones. `complete`: the others of type uuid are the caller.
        """
        columns = table.columns
        if complete and sum(type == "uuid" for _, type, _ in columns) < 2 and table.kind != _KEPT:
            return
        if named_columns is None:
            named_columns = [column for column, type, _ in columns if type == "uuid"]
        for id in self._ids:
            for named in named_columns:
                yield {
                    column: value_of(
                        type,
                        iter([sql.Literal("verify")]),
                        sql.Literal(1),
                        id if column == named else self._own,
                    )
                    for column, type, required in columns
                    if required or column == named or (complete and type == "uuid")
                }

    def _json_rows(self, table: Candidate) -> Iterator[dict[str, sql.Composable]]:
        """Rows of the caller whose objects name another user by what the triggers read."""
        objects = [column for column, type, _ in table.columns if type in ("json", "jsonb")]
        named = sql.Literal(json.dumps(dict.fromkeys(table.literals, str(self._other))))
        for values in self._own_rows(table, [[sql.Literal("verify")]]) if objects else ():
            yield {**values, **dict.fromkeys(objects, named)}

    def _own_rows(
        self, table: Candidate, texts: Sequence[Sequence[sql.Composable]]
    ) -> Iterator[dict[str, sql.Composable]]:
        """Rows of the caller with the columns that have to have a value, and for each text one with
        it in each column.
        """
        named = [column for column, type, _ in table.columns if is_text(type)]
        for text, name in product(texts, named or [""]):
            rest = iter([*text, *[text[-1]] * len(table.types)])
            yield {
                column: value_of(type, rest, sql.Literal(0), self._own)
                for column, type, required in table.columns
                if required or column == name
            }

    def _insert(
        self,
        table: str,
        values: Mapping[str, sql.Composable],
        *,
        returning: bool = False,
        key: str = "",
    ) -> Statement:
        """An insert, which returns the row, or keeps its key."""
        insert = insert_of(table, values)
        if returning:
            row = sql.SQL(" returning left(to_jsonb({}.*)::text, 2000)")
            insert += row.format(qualified(table))
        elif key:
            insert += sql.SQL(" returning set_config('verify.row', {}::text, true)").format(
                qualified(key)
            )
        return Statement(insert.as_string(None))

    def _reads(self, relation: Candidate, role: str) -> Iterator[_Act]:
        """The rows that contain something of the fixture or of the backend. Then the same after
        another user, or a guest, has a row that refers to a managed one.
        """
        shown = "|".join([*map(re.escape, self._shown), f"{self._secret} "])
        pattern: sql.Composable = sql.Literal(shown)
        if relation.relation != _TABLE:
            # a table has the addresses that the project keeps
            pattern = sql.SQL("{} || current_setting('verify.of_user')").format(pattern)
        query = sql.SQL("select left(to_jsonb(r)::text, 2000) from {} as r").format(
            qualified(relation.name)
        )
        condition = sql.SQL(" where to_jsonb(r)::text ~ ({}) limit {}").format(
            pattern, sql.Literal(_ROWS)
        )
        read = Statement((query + condition).as_string(None))
        if relation.name == "storage.objects":
            yield from self._changes_of_files()
        yield _Act([read])
        become = caller_statement(self._caller(relation, role))
        # a key of its own that equals an id shows nothing of others
        referring = [
            column
            for (column, type, _), table in zip(relation.columns, relation.refers, strict=True)
            if table and type == "uuid"
        ]
        for values in self._rows(relation, referring):
            insert = self._insert(relation.name, values)
            before = [own_role(self._impersonation), insert, become]
            yield _Act(before, is_control=True)
            yield _Act([*before, read])

    def _changes_of_files(self) -> Iterator[_Act]:
        """A delete and an update of the files of another user, as Storage sends them."""
        allowed = Statement("select set_config('storage.allow_delete_query', 'true', true)")
        for change in ("delete from storage.objects", "update storage.objects set name = name"):
            of_other = f"{change} where name like %s returning %s"
            params = (f"{self._other}/%", f"{self._secret} changed")
            yield _Act([allowed, Statement(of_other, params)])

    def _ends(self, parent: Candidate, role: str) -> Iterator[_Act]:
        """A delete of the row of another user, to which its job and guest refer."""
        become = caller_statement(self._caller(parent, role))
        values = {
            column: value_of(type, iter([sql.Literal("verify")]), sql.Literal(1), self._other)
            for column, type, required in parent.columns
            if required or type == "uuid"
        }
        # a row that nobody has
        needed = {column for column, _, required in parent.columns if required}
        of_nobody = {column: value for column, value in values.items() if column in needed}
        delete = sql.SQL("delete from {} where {} = {}").format(
            qualified(parent.name), qualified(parent.key), _key_of(parent)
        )
        for row in (values, of_nobody):
            before = [
                own_role(self._impersonation),
                self._insert(parent.name, row, key=parent.key),
                Statement(parent.text),
                become,
            ]
            yield _Act(before, is_control=True)
            yield _Act([*before, Statement(delete.as_string(None))])

    def _runs(self, job: Candidate) -> Iterator[_Act]:
        """The job runs, and once more after a user has written a row."""
        run = [
            own_role(self._impersonation),
            Statement(job.name),
            Statement("select current_setting('verify.reached', true)"),
        ]
        yield _Act(run, is_control=True)
        for source in filter(job.reads, self._sources):
            for written in self._written(source, is_dynamic=True):
                yield _Act([written, *run])
        if _METADATA in job.text and self._reach.chosen:
            # the same value as in a row of another owner
            chosen = self._chosen(job.text, sql.Literal("verify"))
            of_others = [
                own_role(self._impersonation),
                chosen,
                Statement(self._reach.chosen, self._impersonation.ids),
            ]
            yield _Act([*of_others, *run], is_control=True)
            yield _Act([*of_others, self._with_metadata, *run])

    def _chosen(self, text: str, value: sql.Composable) -> Statement:
        """A JSON object of the user's choice: the value under each name that a text mentions."""
        names = sorted({name.replace("''", "'") for name in _LITERAL.findall(text)})
        query = sql.SQL(
            "select set_config('verify.chosen', coalesce(jsonb_object_agg(k, {})::text, '{{}}'),"
            " true) from unnest({}::text[]) as k"
        )
        return Statement(query.format(value, sql.Literal(names)).as_string(None))

    @property
    def _with_metadata(self) -> Statement:
        update = sql.SQL(
            "update auth.users set raw_user_meta_data = current_setting('verify.chosen')::jsonb"
            " where id = {}"
        )
        return Statement(update.format(sql.Literal(str(self._own))).as_string(None))

    def _problem(self, uses: Sequence[_Use], nothing: _Use) -> _Problem | None:
        for use in uses:
            if self._keeps_job(use):
                return _Problem(
                    "can keep the owner of a job from deleting it: a row refers to it",
                    "Let the foreign key have ON DELETE CASCADE or SET NULL.",
                )
            if use.seen is None or use.answer is None or use.is_control:
                continue
            before = (use.control or nothing).seen
            if before is None:
                continue
            if use.candidate is not None and use.candidate.kind == _STATE:
                if use.control is not None and use.control.answer != use.answer:
                    return _Problem(
                        "gives a job to another owner when its state changes, whom nobody has asked"
                    )
                continue
            changed = {
                what for what in {*before, *use.seen} if before.get(what) != use.seen.get(what)
            }
            if (problem := self._change(changed, use.seen) or self._leak(use)) is not None:
                return problem
        return None

    def _keeps_job(self, use: _Use) -> bool:
        """Whether a row that the caller can write prevents a delete, which rows that the project
        writes by itself may prevent too.
        """
        written = use.candidate.name.replace('"', "") if use.candidate is not None else ""
        return bool(use.blocking) and (
            use.blocking == written or use.blocking not in self._blocking
        )

    def _change(
        self, changed: Collection[str], seen: Mapping[str, Sequence[str]]
    ) -> _Problem | None:
        if _ANOTHER in changed:
            return _Problem(
                "changes or deletes a user, or a session or key, that is not the caller's"
            )
        if "a job or guest of another" in changed:
            return _Problem("changes or deletes a job or guest that is not the caller's")
        if "way to sign in" in changed:
            return _Problem(
                "changes the providers that sign users in: its caller signs in as whoever has an"
                " address of the domain"
            )
        if "own role" in changed:
            return _Problem(
                "lets its caller choose the role of its next token: service_role, which bypasses"
                " row level security"
            )
        if "own claims" in changed and self._are_chosen(seen.get("own claims", ())):
            return _Problem(
                "lets its caller choose app_metadata of its next token, which policies trust"
            )
        if "own identity" in changed:
            return _Problem(
                "adds or changes a way to sign in that no provider has confirmed: its caller can"
                " take the account of somebody else before they sign up"
            )
        # another address, as of an account that is closed, is not of the caller's choice
        if "own address" in changed and self._values.address in " ".join(
            seen.get("own address", ())
        ):
            return _Problem(
                "lets its caller have any address without a confirmation: whoever trusts an address"
                " takes the caller for somebody else"
            )
        if "run" in changed and f"{self._secret} run" in seen["run"]:
            return _Problem("runs text that users write")
        if "scheduled" in changed:
            return _Problem("schedules text of its caller, which pg_cron runs as another role")
        return None

    def _are_chosen(self, claims: Sequence[str | None]) -> bool:
        """Whether app_metadata have a role of the caller's choice, or names that it has sent."""
        for text in claims:
            found = json.loads(text or "null")
            if isinstance(found, dict) and (
                found.get("role") in _ROLES_OF_SERVICE or found.get("guest_id") == str(self._other)
            ):
                return True
        return False

    def _leak(self, use: _Use) -> _Problem | None:
        answer = use.answer or ""
        said = " ".join(one.sql for one in use.statements[: use.own]) if use.names_values else ""
        if any(text in answer and text not in said for text in self._shown):
            return _Problem("shows jobs or guests of others")
        if self._is_token(answer):
            return _Problem("returns a token of another user, or of the service")
        if f"{self._secret} token" in answer:
            return _Problem(
                "returns a token or password of another user: whoever has it can become that user"
            )
        if f"{self._secret} device" in answer:
            return _Problem("shows with which devices another user is signed in")
        if self._phone in answer or (
            self._address and ADDRESS not in said and self._address in answer
        ):
            return _Problem("shows the address or telephone number of another user")
        if f"{self._secret} run" in answer:
            return _Problem("runs text that users write")
        if use.returned(_ANOTHER_CALLER.statement(_IDENTITY)):
            return _Problem(
                "sets the role or a request setting: what follows is done as another caller"
            )
        if f"{self._secret} key" in answer:
            return _Problem("returns a secret of Vault")
        for kind, what in _OF_BACKEND.items():
            if f"{self._secret} {kind}" in answer:
                return _Problem(f"returns {what}")
        if f"{self._secret} setting" in answer and "secret setting" in self._present:
            return _Problem(
                "returns a setting that its caller names, and a setting of this database looks"
                " like a secret"
            )
        if f"{self._secret} changed" in answer:
            return _Problem("lets them delete or replace files of others", _FIX_OF_FILES)
        if f"{self._secret} file" in answer:
            # whoever has signed in may be meant, but nobody without an account
            is_meant = use.names_values is False and use.caller.role == "authenticated"
            return _Problem(
                "shows files of others in a bucket that is not public",
                _FIX_OF_FILES,
                Severity.WARNING if is_meant else Severity.ERROR,
            )
        if ADDRESS in said and str(self._other) in answer and str(self._other) not in said:
            return _Problem("tells the id of whoever has an address", severity=Severity.WARNING)
        if _is_version(answer, self._impersonation.connection.info.server_version // 10_000):
            return _Problem("returns a file of the server that its caller names")
        return None

    def _is_token(self, answer: str) -> bool:
        """Whether an answer contains a JSON Web Token of the other user or of the service."""
        # PostgreSQL breaks the lines of base64
        joined = re.sub(r"\s|\\n", "", answer)
        for payload in _TOKEN.findall(joined):
            try:
                text = base64.b64decode(payload.rstrip("=") + "===", altchars=b"-_")
            except ValueError:
                continue
            if self._is_claim(text):
                return True
        # another format: the claims as they are, beside a signature
        return any(
            self._is_claim(claims) and _SIGNATURE.search(joined.replace(claims, ""))
            for claims in _CLAIMS.findall(joined)
        )

    def _is_claim(self, text: str | bytes) -> bool:
        """Whether a text is a JSON object that says who the other user or the service is."""
        try:
            claims = json.loads(text)
        except ValueError:
            return False
        return isinstance(claims, dict) and (
            claims.get("sub") == str(self._other) or claims.get("role") in _ROLES_OF_SERVICE
        )

    def _report(self, candidate: Candidate, problem: _Problem | None) -> None:
        id = Id(AREA, candidate.object, "reach")
        title = "what requests can do with it reaches nobody else"
        case = Case(id=id, area=AREA, object=candidate.object, name=title)
        self._context.cases.append(
            catalog.with_script(case, QUERY, candidate.object, self._context)
        )
        if problem is None or id in {finding.id for finding in self._context.findings}:
            return
        who = " and ".join(sorted(candidate.callers))
        if candidate.kind == "job":
            tables = ", ".join(sorted({*(candidate.names or ())}))
            message = f"it {problem.message} ({tables}), as the role of the job"
            fix = "Let the job run fixed statements, and read only values from the table."
        elif candidate.kind == "relation":
            message = f"{who} can read it, and it {problem.message}"
            fix = f"revoke all on table {candidate.object} from public, anon, authenticated;"
        elif candidate.kind in ("function", "computed"):
            message = f"{who} can call it, and it {problem.message}"
            fix = f"revoke execute on function {candidate.object} from public, anon, authenticated;"
        elif candidate.kind == _MESSAGES:
            message = f"on public topics, which everybody can join, Realtime {problem.message}"
            fix = "Send to a private topic (the fourth argument of realtime.send), with a policy."
        elif candidate.kind == _STATE:
            message = f"as a trigger of a managed table, it {problem.message}"
            fix = f"Drop the triggers that call {candidate.object}."
        elif candidate.kind == _SIGN_UP:
            message = f"whoever signs up chooses metadata, and a trigger {problem.message}"
            fix = "Let the trigger use only the id of the new user, and what Auth has confirmed."
        elif candidate.kind == "parent":
            message = f"{who} can delete its rows of others, and that {problem.message}"
            fix = f"revoke delete on table {candidate.object} from anon, authenticated;"
        else:
            message = f"{who} can write to it, and its rows, triggers or rules: {problem.message}"
            fix = f"revoke insert, update, delete on {candidate.object} from anon, authenticated;"
        finding = Finding(
            id=id,
            area=AREA,
            severity=problem.severity,
            object=candidate.object,
            message=message,
            fix=problem.fix or fix,
        )
        self._context.findings.append(finding)
        if candidate.kind in ("function", "computed", "relation"):
            self._context.allowed.candidates[id] = {"name": candidate.object}


def _member(table: Candidate) -> Member:
    columns = zip(table.names or (), table.types, table.required, table.refers, strict=True)
    return Member(table.name, list(columns), table.key)


def _reaches_account(use: _Use, nothing: _Use) -> bool:
    """Whether a use has changed the account, a session or a key of the other user."""
    if use.seen is None or nothing.seen is None:
        return False
    return use.seen.get(_ANOTHER) != nothing.seen.get(_ANOTHER)


def attempt(statement: str) -> list[Statement]:
    """A statement of the own role, of which nothing remains if it fails."""
    return [
        Statement("select set_config('verify.statement', %s, true)", (statement,)),
        _ATTEMPT.statement(),
    ]


def _call(function: Candidate, values: Sequence[sql.Composable]) -> Statement:
    call = sql.SQL("select left(r::text, 2000) from {}({}) as r limit {}").format(
        qualified(function.name), sql.SQL(", ").join(values), sql.Literal(_ROWS)
    )
    return Statement(call.as_string(None))


def _are_numbers(rows: Sequence[Row]) -> bool:
    """Whether there is one row, a JSON object that has numbers only."""
    if len(rows) != 1:
        return False
    return all(type(value) in (int, float) for value in rows[0][0].values())


def _chooses(function: Candidate, text: str) -> bool:
    """Whether a function chooses rows by more than an id."""
    return bool(_CHOOSES_ROWS.search(text)) or [*function.types] not in ([], ["uuid"])


def _counts(function: Candidate, text: str, uses: Sequence[_Use]) -> bool:
    """Whether a function that its caller tells nothing answers with a number alone: nobody learns
    whose rows they are.
    """
    answers = [use.answer for use in uses if use.answer is not None]
    is_number = bool(answers) and all(re.fullmatch(r"\d+", answer) for answer in answers)
    return is_number and not function.types and not _CHANGES.search(text)


def _is_of_service(text: str, uses: Sequence[_Use]) -> bool:
    """Whether a function serves only those whom the service has chosen: it has refused all calls,
    also with what callers write themselves.
    """
    refused = all(use.is_refused or use.answer == "" for use in uses)
    return bool(uses) and refused and bool(_OF_SERVICE.search(text))


def _is_closed(function: Candidate, text: str, uses: Sequence[_Use]) -> bool:
    """Whether a function of one text accepts only literals of its own text, all of which were
    tried.
    """
    answered = [use for use in uses if use.answer is not None]
    literals = {literal for literal in _LITERAL.findall(text) if literal and "%" not in literal}
    return (
        [*function.types] == ["text"]
        and bool(answered)
        and literals <= {*function.literals}
        and all(_names(use, literals) for use in answered)
    )


def _names(use: _Use, literals: Collection[str]) -> bool:
    """Whether the argument of a call is one of these literals."""
    said = " ".join(one.sql for one in use.statements[: use.own])
    return any(f"('{literal}'::" in said for literal in literals)


def _key_of(table: Candidate) -> sql.Composable:
    """The key of the row that was written."""
    type = dict(zip(table.names or (), table.types, strict=True)).get(table.key, "bigint")
    return sql.SQL("{}::{}").format(_WRITTEN, sql.SQL(type))


def _is_version(answer: str, major: int) -> bool:
    """Whether an answer is the content of the file PG_VERSION, as text or bytea."""
    text = f"{major}\n"
    return answer in (text, text.strip(), "\\x" + text.encode().hex())
