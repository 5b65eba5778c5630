"""Try what requests can reach through functions that run as their owner, through the triggers and
rules of user tables, and through tables and views that they can read.

Jobs of others are finished and fail first, and scheduled jobs run. Then each function is called
with arguments that mean another user, its job, a secret or a file; rows with such values are
written to each table, and read again. What can be read must not show rows of the fixture. A change
of another user or its jobs, or an answer that contains a secret or an address, is an error,
whatever the text says. Nothing is called that acts outside of its transaction or takes
locks on tables, as far as its text shows. What it calls may do that, read all rows, lock rows or
take numbers from sequences, so this happens on an embedded server only.
"""

import base64
import json
import re
import secrets
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from typing import Any

import psycopg
from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement, read
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.session import script
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import Impersonation, caller_statement, own_role
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import AccessDeclaration
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
_ATTEMPT = sql_file(_FILES / "attempt.sql")
_ADDRESS = "current_setting('verify.email')"

# more candidates than this are left out: each takes several calls
_MOST = 200
_CALLS_PER_PROBE = 30
# rows of an answer that are read
_ROWS = 200

_OUTSIDE = re.compile(
    r"\b((net\.)?http(_\w+)?(?=\s*\()|dblink\w*|copy|pg_terminate_backend|pg_cancel_backend"
    r"|pg_(try_)?advisory_lock\w*|lo_export|lo_import|alter|drop|truncate|lock\s+table|create"
    r"|vacuum|reindex|refresh|pg_reload_conf|pg_sleep\w*)\b",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_OF_BACKEND = {
    "header": "the headers of requests that the server sends, which hold keys",
    "answer": "the answers to requests that the server sends",
    "entry": "the audit log of Auth, with the addresses of all users",
    "command": "the commands of scheduled jobs, which may hold keys",
}
_SEGMENT = r"[\w+/-]+=*"
_TOKEN = re.compile(rf"{_SEGMENT}\.({_SEGMENT})\.{_SEGMENT}")
_ROLES_OF_SERVICE = ("service_role", "supabase_admin", "postgres")
# the row is written, and the own role is back
_BEFORE_DELETE = 2
_EVERY_MINUTE = "* * * * *"
_FILE = "PG_VERSION"
_OF_IDS = ("uuid", "json", "jsonb")
_NAMES_OF_IDS = ("id", "user_id", "job_id", "guest_id")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")

# schema, kind, … : a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class _Candidate:
    """A function, or a table or view, that requests can use. `names` and `types` are those of its
    arguments, or of its columns; those of a computed column are of its `relation`. `required` and
    `refers` say which columns need a value, and to which tables they refer.
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

    @property
    def is_tried(self) -> bool:
        """Whether somebody can use it, and it does nothing that a rollback does not undo."""
        return bool(self.callers) and not _OUTSIDE.search(_COMMENT.sub(" ", self.text))


@dataclass(eq=False)
class _Use:
    """One use of a candidate by a caller; `answer` is the text that it returned, `seen` the watched
    rows after it. Both are None if it failed. `own` of the statements are the use.
    `names_values`: it contains values, which an answer may repeat. `deletes`: the owner of a job
    deletes it in the end, and `blocking`: it cannot, because a row of this table refers to it.
    """

    candidate: _Candidate | None
    caller: Caller
    statements: Sequence[Statement]
    answer: str | None = None
    seen: Mapping[str, Sequence[str]] | None = None
    own: int = field(default=1)
    names_values: bool = True
    deletes: bool = False
    blocking: str = ""

    def read(self, result: GroupResult) -> None:
        """Read the answer and the watched rows."""
        error = result.error
        must_work = self.candidate is None and not self.deletes
        if isinstance(error, LOCK_ERRORS) or (error and must_work):
            raise error
        if error is not None:
            refers = isinstance(error, psycopg.errors.ForeignKeyViolation)
            if self.deletes and refers and len(result.answers) == _BEFORE_DELETE:
                self.blocking = f"{error.diag.schema_name}.{error.diag.table_name}"
            return
        if self.deletes:
            return
        answers = result.answers
        rows = [row for answer in answers[: self.own] for row in answer.rows]
        self.answer = "\n".join(str(row[0]) for row in rows)
        seen: dict[str, list[str]] = {}
        for answer in answers[self.own + 1 :]:
            for what, value in answer.rows:
                seen.setdefault(what, []).append(value)
        self.seen = {what: sorted(values) for what, values in seen.items()}


@dataclass(frozen=True)
class _Problem:
    """A finding about a candidate, without its name."""

    message: str
    fix: str = ""


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    exposed: Collection[str],
    declared: AccessDeclaration,
    frame: Frame,
    context: Context,
) -> None:
    """Try each candidate in an `exposed` schema; add a finding for each that reaches another user.

    `rows` are those of `QUERY`. The first user of the fixture calls, the second one is the other.
    On a database in use nothing is tried.
    """
    reported = {finding.object for finding in context.findings}
    reported |= {finding.id.rpartition(":")[2] for finding in context.findings}
    found = [_Candidate(*row) for row in rows]
    found = [one for one in found if one.kind != "relation" or one.object not in reported]
    users = declared.fixture.users
    tried = [one for one in found if one.schema in exposed and one.is_tried][:_MOST]
    scheduled = any(one.kind == "schedule" for one in found)
    if context.in_use or len(users) < 2 or not (tried or scheduled):
        return
    jobs = _SCHEDULED.rows(impersonation.connection, sorted(exposed)) if scheduled else []
    trial = _Trial(impersonation, declared, frame, context, jobs)
    trial.run([*tried, *_jobs_with_text(jobs)])


def _jobs_with_text(rows: Sequence[Row]) -> list[_Candidate]:
    """The scheduled jobs with dynamic SQL, with the columns that users write text into."""
    columns = [(table, column) for kind, table, column, *_ in rows if kind == "column"]
    tables, names = [table for table, _ in columns], [column for _, column in columns]
    found = [
        _Candidate(
            kind="job",
            schema="cron",
            name=command,
            object=f"scheduled job {name}",
            callers=["authenticated"],
            names=tables,
            types=names,
            text=f"{command} {body}",
        )
        for kind, name, command, body, is_dynamic in rows
        if kind == "job" and is_dynamic
    ]
    return [job for job in found if columns and job.is_tried]


class _Trial:
    """The uses of all candidates, on the fixture rows and the secrets of one of its users."""

    def __init__(
        self,
        impersonation: Impersonation,
        declared: AccessDeclaration,
        frame: Frame,
        context: Context,
        jobs: Sequence[Row],
    ) -> None:
        self._impersonation = impersonation
        self._context = context
        ids = impersonation.ids
        self._reach = declared.reach
        self._stranger = uuid.uuid4()
        self._own, self._other = (ids[name] for name in declared.fixture.users[:2])
        self._ids = [self._other, *(ids[name] for name in self._reach.ids)]
        self._secret = f"verify{secrets.token_hex(8)}"
        present, [(of_auth,)] = read(
            impersonation.connection, [_PRESENT.statement(), _AUTH.statement(str(self._other))]
        )
        self._present = {name for (name,) in present}
        self._shown = [
            Template(text).safe_substitute(impersonation.texts) for text in self._reach.shown
        ]
        self._phone = f"1555{secrets.randbelow(10**8):08}"
        self._address = ""
        self._blocking: Collection[str] = ()
        settings = {
            "verify.victim": str(self._other),
            "verify.secret": self._secret,
            "verify.phone": self._phone,
        }
        prepare = [Statement("select set_config(%s, %s, true)", pair) for pair in settings.items()]
        happened = [
            *(script.filled(text, script.quoted(ids)) for text in self._reach.given),
            *_commands(jobs),
        ]
        before = (
            *frame.before,
            *prepare,
            _PREPARE.statement(),
            *(statement for one in happened for statement in _attempt(one)),
        )
        self._runner = Runner(impersonation, context.deadline, Frame(before, frame.undo))
        self._watch = [_USERS.statement(self._other, self._own)]
        if self._reach.watch:
            self._watch.append(Statement(self._reach.watch, ids))
        if of_auth is not None:
            self._watch.append(Statement(of_auth))
        if "cron.job" in self._present:
            self._watch.append(_CRON.statement(self._secret))

    def run(self, candidates: Sequence[_Candidate]) -> None:
        """Use each candidate, and report what it reaches."""
        uses = [use for candidate in candidates for use in self._uses(candidate)]
        select = Statement(f"select {_ADDRESS}")
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
            self._report(candidate, self._problem(own, nothing.seen or {}))

    def _use(
        self, candidate: _Candidate | None, role: str, statements: Sequence[Statement]
    ) -> _Use:
        """A use, after which the own role looks at what is watched."""
        kind = candidate.kind if candidate is not None else ""
        after = [own_role(self._impersonation), *self._watch]
        return _Use(
            candidate=candidate,
            caller=self._caller(candidate, role),
            statements=[*statements, *after],
            own=len(statements),
            names_values=kind != "relation",
            deletes=kind == "table" and own_role(self._impersonation) in statements,
        )

    def _caller(self, candidate: _Candidate | None, role: str) -> Caller:
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

    def _uses(self, candidate: _Candidate) -> Iterator[_Use]:
        role = candidate.callers[0]
        uses = {
            "function": self._calls,
            "table": self._writes,
            "job": self._runs,
            "relation": self._reads,
            "computed": self._computes,
        }
        for group in uses[candidate.kind](candidate):
            yield self._use(candidate, role, group)

    def _calls(self, function: _Candidate) -> Iterator[list[Statement]]:
        """Calls with each kind of text; the first text is a time of pg_cron in the last one."""
        name = _qualified(function.name)
        for value in self._profiles(function.types, numbers=(1, 0, -1)):
            call = sql.SQL("select left(r::text, 2000) from {}({}) as r limit {}").format(
                name,
                sql.SQL(", ").join(value),
                sql.Literal(_ROWS),
            )
            yield [Statement(call.as_string(None))]

    def _computes(self, function: _Candidate) -> Iterator[list[Statement]]:
        """The computed column of the rows that the caller sees: one names the other user."""
        query = sql.SQL("select left({}(r)::text, 2000) from {} as r limit {}").format(
            _qualified(function.name), _qualified(function.relation), sql.Literal(_ROWS)
        )
        answer = Statement(query.as_string(None))
        if function.names is None:
            yield [answer]
            return
        become = caller_statement(self._caller(function, function.callers[0]))
        for values in self._rows(function):
            insert = self._insert(function.relation, values)
            yield [own_role(self._impersonation), insert, become, answer]

    def _writes(self, table: _Candidate) -> Iterator[list[Statement]]:
        """Inserts of each kind of text, after which the caller reads the table, and an update or
        delete of the row behind it.
        """
        name = _qualified(table.name)
        names = table.names or ()
        for value in self._profiles(table.types):
            written = self._insert(table.name, dict(zip(names, value, strict=True)))
            yield [written]
            for column, type in zip(names, table.types, strict=True):
                if type == "uuid":
                    of_row = sql.SQL(" where {} = {}").format(
                        _qualified(column), sql.Literal(str(self._other))
                    )
                    same = sql.SQL("update {0} set {1} = {1}").format(name, _qualified(column))
                    delete = sql.SQL("delete from {}").format(name)
                    for change in (same, delete):
                        yield [written, Statement((change + of_row).as_string(None))]
        for values in self._rows(table):
            written = self._insert(table.name, values)
            yield [written]
            yield [self._insert(table.name, values, returning=True)]
            if any(table.refers):
                yield from self._deletes(written)

    def _deletes(self, before: Statement) -> Iterator[list[Statement]]:
        """A statement of the caller, and after it each delete of the owner of a job."""
        for text in self._reach.deletes:
            deleted = Statement(text, self._impersonation.ids)
            yield [before, own_role(self._impersonation), deleted]

    def _rows(self, table: _Candidate) -> Iterator[dict[str, sql.Composable]]:
        """Rows with only the columns that have to have a value, and for each id those that may name
        it.
        """
        columns = list(
            zip(table.names or (), table.types, table.required, table.refers, strict=True)
        )
        for id in self._ids:
            for named in [column for column, type, *_ in columns if type == "uuid"]:
                yield {
                    column: self._value(
                        type, iter([sql.Literal("verify")]), 1, id if column == named else self._own
                    )
                    for column, type, required, _ in columns
                    if required or column == named
                }

    def _insert(
        self, table: str, values: Mapping[str, sql.Composable], *, returning: bool = False
    ) -> Statement:
        name = _qualified(table)
        insert = sql.SQL("insert into {} ({}) values ({})").format(
            name,
            sql.SQL(", ").join(map(_qualified, values)),
            sql.SQL(", ").join(values.values()),
        )
        if returning:
            insert += sql.SQL(" returning left(to_jsonb({}.*)::text, 2000)").format(name)
        return Statement(insert.as_string(None))

    def _reads(self, relation: _Candidate) -> Iterator[list[Statement]]:
        """The rows that contain something of the fixture or of the backend."""
        shown = "|".join([*map(re.escape, self._shown), f"{self._secret} "])
        pattern: sql.Composable = sql.Literal(shown)
        if not relation.relation:
            # a table has the addresses that the project keeps
            pattern = sql.SQL("{} || current_setting('verify.of_user')").format(pattern)
        query = sql.SQL("select left(to_jsonb(r)::text, 2000) from {} as r").format(
            _qualified(relation.name)
        )
        condition = sql.SQL(" where to_jsonb(r)::text ~ ({}) limit {}").format(
            pattern, sql.Literal(_ROWS)
        )
        yield [Statement((query + condition).as_string(None))]

    def _runs(self, job: _Candidate) -> Iterator[list[Statement]]:
        """A user writes a statement into a column, and the job runs."""
        written = f"select set_config('verify.reached', '{self._secret} run', true)"
        for table, column in zip(job.names or (), job.types, strict=True):
            insert = sql.SQL("insert into {} ({}) values ({})").format(
                _qualified(table), _qualified(column), sql.Literal(written)
            )
            yield [
                Statement(insert.as_string(None)),
                own_role(self._impersonation),
                Statement(job.name),
                Statement("select current_setting('verify.reached', true)"),
            ]

    def _profiles(
        self, types: Sequence[str], numbers: Sequence[int] = (1,)
    ) -> Iterator[list[sql.Composable]]:
        """The values for arguments or columns of these types, once for each text, and the first
        text with each of the numbers.
        """
        texts: list[Sequence[sql.Composable]] = [[sql.SQL("current_setting('verify.email')")]]
        if any(_is_text(type) for type in types):
            for name in (
                *map(str, self._ids),
                f"verify {self._other}",
                "verify.canary",
                _FILE,
                "service_role",
                *self._reach.texts,
            ):
                texts.append([sql.Literal(name)])
            if "cron.job" in self._present:
                command = sql.Literal(f"select '{self._secret}'")
                texts.append([sql.Literal(_EVERY_MINUTE), command])
        for text in texts:
            yield self._values(types, text, numbers[0], self._other)
        if any(type.removesuffix("[]") in _OF_IDS for type in types):
            for id in self._ids[1:]:
                yield self._values(types, texts[0], numbers[0], id)
        if any(_is_number(type) for type in types):
            for number in numbers[1:]:
                yield self._values(types, texts[0], number, self._other)

    def _values(
        self, types: Sequence[str], text: Sequence[sql.Composable], number: int, id: uuid.UUID
    ) -> list[sql.Composable]:
        rest = iter([*text, *[text[-1]] * len(types)])
        return [self._value(type, rest, number, id) for type in types]

    def _value(
        self, type: str, texts: Iterator[sql.Composable], number: int, id: uuid.UUID
    ) -> sql.Composable:
        other = str(id)
        base = type.removesuffix("[]")
        value: sql.Composable = sql.NULL
        if _is_text(base):
            value = next(texts)
        elif base == "uuid":
            value = sql.Literal(other)
        elif base in ("json", "jsonb"):
            named = dict.fromkeys(_NAMES_OF_IDS, other)
            value = sql.Literal(json.dumps(named))
        elif base == "boolean":
            value = sql.Literal(True)
        elif _is_number(base):
            value = sql.Literal(number)
        elif base.startswith(("timestamp", "date")):
            value = sql.SQL("now()")
        if value is not sql.NULL and base != type:
            value = sql.SQL("array[{}]").format(value)
        return sql.SQL("{}::{}").format(value, sql.SQL(type))

    def _problem(
        self, uses: Sequence[_Use], nothing: Mapping[str, Sequence[str]]
    ) -> _Problem | None:
        for use in uses:
            if self._keeps_job(use):
                return _Problem(
                    "can keep the owner of a job from deleting it: a row refers to it",
                    "Let the foreign key have ON DELETE CASCADE or SET NULL.",
                )
            if use.seen is None or use.answer is None:
                continue
            changed = {
                what for what in {*nothing, *use.seen} if nothing.get(what) != use.seen.get(what)
            }
            if (problem := self._change(changed) or self._leak(use)) is not None:
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

    def _change(self, changed: Collection[str]) -> _Problem | None:
        if "another user" in changed:
            return _Problem(
                "changes or deletes a user, or a session or key, that is not the caller's"
            )
        if "a job or guest of another" in changed:
            return _Problem("changes or deletes a job or guest that is not the caller's")
        if "own role" in changed:
            return _Problem(
                "lets its caller choose the role of its next token: service_role, which bypasses"
                " row level security"
            )
        if "scheduled" in changed:
            return _Problem("schedules text of its caller, which pg_cron runs as another role")
        return None

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
        if self._phone in answer or (
            self._address and _ADDRESS not in said and self._address in answer
        ):
            return _Problem("shows the address or telephone number of another user")
        if f"{self._secret} run" in answer:
            return _Problem("runs text that users write")
        if f"{self._secret} key" in answer:
            return _Problem("returns a secret of Vault that its caller names")
        for kind, what in _OF_BACKEND.items():
            if f"{self._secret} {kind}" in answer:
                return _Problem(f"returns {what}")
        if f"{self._secret} setting" in answer and "secret setting" in self._present:
            return _Problem(
                "returns a setting that its caller names, and a setting of this database looks"
                " like a secret"
            )
        if _is_version(answer, self._impersonation.connection.info.server_version // 10_000):
            return _Problem("returns a file of the server that its caller names")
        return None

    def _is_token(self, answer: str) -> bool:
        """Whether an answer contains a JSON Web Token of the other user or of the service."""
        # PostgreSQL breaks the lines of base64
        for payload in _TOKEN.findall(re.sub(r"\s|\\n", "", answer)):
            try:
                text = base64.b64decode(payload.rstrip("=") + "===", altchars=b"-_")
                claims = json.loads(text)
            except ValueError:
                continue
            if isinstance(claims, dict) and (
                claims.get("sub") == str(self._other) or claims.get("role") in _ROLES_OF_SERVICE
            ):
                return True
        return False

    def _report(self, candidate: _Candidate, problem: _Problem | None) -> None:
        id = f"{AREA}:{candidate.object}:reach"
        title = "what requests can do with it reaches nobody else"
        case = Case(id=id, area=AREA, object=candidate.object, name=title)
        self._context.cases.append(
            catalog.with_script(case, QUERY, candidate.object, self._context)
        )
        if problem is None:
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
        else:
            message = f"{who} can write to it, and its rows, triggers or rules: {problem.message}"
            fix = f"revoke insert, update, delete on {candidate.object} from anon, authenticated;"
        finding = Finding(
            id=id,
            area=AREA,
            severity=Severity.ERROR,
            object=candidate.object,
            message=message,
            fix=problem.fix or fix,
        )
        self._context.findings.append(finding)
        if candidate.kind in ("function", "computed", "relation"):
            self._context.allowed.candidates[id] = {"name": candidate.object}


def _commands(jobs: Sequence[Row]) -> list[str]:
    """The commands of scheduled jobs that do nothing which a rollback does not undo."""
    return [
        command
        for kind, _, command, body, _ in jobs
        if kind == "job" and not _OUTSIDE.search(_COMMENT.sub(" ", f"{command} {body}"))
    ]


def _attempt(statement: str) -> list[Statement]:
    """A statement of the own role, of which nothing remains if it fails."""
    return [
        Statement("select set_config('verify.statement', %s, true)", (statement,)),
        _ATTEMPT.statement(),
    ]


def _qualified(name: str) -> sql.SQL:
    """A name that format('%I') or quote_ident() has written."""
    return sql.SQL(name.replace("{", "{{").replace("}", "}}"))


def _is_number(type: str) -> bool:
    return type.removesuffix("[]") in _NUMBERS


def _is_text(type: str) -> bool:
    return type.removesuffix("[]") in ("text", "character varying", "citext", "name", "character")


def _is_version(answer: str, major: int) -> bool:
    """Whether an answer is the content of the file PG_VERSION, as text or bytea."""
    text = f"{major}\n"
    return answer in (text, text.strip(), "\\x" + text.encode().hex())
