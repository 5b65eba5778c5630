"""Try what requests can reach through functions that run as their owner, through the triggers and
rules of user tables, and through tables and views that they can read.

Each function is called with arguments that mean another user, a secret or a file; rows with such
values are written to each table. What can be read must not show rows of the fixture. A change of
another user, or an answer that contains a secret, is
an error, whatever the text says. Nothing is called that acts outside of its transaction or takes
locks on tables, as far as its text shows. What it calls may do that, read all rows, lock rows or
take numbers from sequences, so this happens on an embedded server only.
"""

import re
import secrets
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import sql

from supabase_jobs.database.batch import GroupResult, Statement, read
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import Impersonation, own_role
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.verify.access import AREA
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
# in the URLs of the fixture
_URL_OF_JOBS = "x.com/verify/status/8"
_EVERY_MINUTE = "* * * * *"
_FILE = "PG_VERSION"
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")

# schema, kind, … : a row of the query
Row = Sequence[Any]


@dataclass(frozen=True)
class _Candidate:
    """A function, or a table or view, that requests can use. `names` and `types` are those of its
    arguments, or of its columns.
    """

    kind: str
    schema: str
    name: str
    object: str
    callers: Sequence[str]
    names: Sequence[str] | None
    types: Sequence[str]
    text: str

    @property
    def is_tried(self) -> bool:
        """Whether somebody can use it, and it does nothing that a rollback does not undo."""
        return bool(self.callers) and not _OUTSIDE.search(_COMMENT.sub(" ", self.text))


@dataclass(eq=False)
class _Use:
    """One use of a candidate by a caller; `answer` is the text that it returned, `seen` the watched
    rows after it. Both are None if it failed.
    """

    candidate: _Candidate | None
    caller: Caller
    statements: Sequence[Statement]
    answer: str | None = None
    seen: Mapping[str, Sequence[str]] | None = None
    own: int = field(default=1)

    def read(self, result: GroupResult) -> None:
        """Read the answer and the watched rows."""
        if isinstance(result.error, LOCK_ERRORS) or (result.error and self.candidate is None):
            raise result.error
        if result.error is not None:
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


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    exposed: Collection[str],
    users: Sequence[str],
    frame: Frame,
    context: Context,
) -> None:
    """Try each candidate in an `exposed` schema; add a finding for each that reaches another user.

    `rows` are those of `QUERY`. `users` are the names of the ids of the fixture's users: the first
    one calls, the second one is the other. On a database in use nothing is tried.
    """
    reported = {finding.object for finding in context.findings}
    reported |= {finding.id.rpartition(":")[2] for finding in context.findings}
    found = [_Candidate(*row) for row in rows]
    found = [one for one in found if one.kind != "relation" or one.object not in reported]
    tried = [one for one in found if one.schema in exposed and one.is_tried][:_MOST]
    scheduled = any(one.kind == "schedule" for one in found)
    if context.in_use or len(users) < 2 or not (tried or scheduled):
        return
    trial = _Trial(impersonation, users, frame, context)
    trial.run([*tried, *(trial.jobs(exposed) if scheduled else ())])


class _Trial:
    """The uses of all candidates, on the fixture rows and the secrets of one of its users."""

    def __init__(
        self,
        impersonation: Impersonation,
        users: Sequence[str],
        frame: Frame,
        context: Context,
    ) -> None:
        self._impersonation = impersonation
        self._context = context
        self._own, self._other = (impersonation.ids[name] for name in users[:2])
        self._secret = f"verify{secrets.token_hex(8)}"
        present, [(of_auth,)] = read(
            impersonation.connection, [_PRESENT.statement(), _AUTH.statement(str(self._other))]
        )
        self._present = {name for (name,) in present}
        # an id of a guest is its password; the id of a job alone shows nothing
        self._rows_of_others = [
            str(id) for name, id in impersonation.ids.items() if name.startswith("guest_")
        ]
        self._rows_of_others.append(_URL_OF_JOBS)
        settings = {"verify.victim": str(self._other), "verify.secret": self._secret}
        prepare = [Statement("select set_config(%s, %s, true)", pair) for pair in settings.items()]
        before = (*frame.before, *prepare, _PREPARE.statement())
        self._runner = Runner(impersonation, context.deadline, Frame(before, frame.undo))
        self._watch = [_USERS.statement(self._other, self._own)]
        if of_auth is not None:
            self._watch.append(Statement(of_auth))
        if "cron.job" in self._present:
            self._watch.append(_CRON.statement(self._secret))

    def jobs(self, exposed: Collection[str]) -> list[_Candidate]:
        """The scheduled jobs with dynamic SQL, with the columns that users write text into."""
        [rows] = read(self._impersonation.connection, [_SCHEDULED.statement(sorted(exposed))])
        columns = [(table, column) for kind, table, column, _ in rows if kind == "column"]
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
            for kind, name, command, body in rows
            if kind == "job"
        ]
        return [job for job in found if columns and job.is_tried]

    def run(self, candidates: Sequence[_Candidate]) -> None:
        """Use each candidate, and report what it reaches."""
        uses = [use for candidate in candidates for use in self._uses(candidate)]
        nothing = self._use(None, "authenticated", [Statement("select ''")])
        self._runner.run(probes_of([nothing, *uses], _CALLS_PER_PROBE))
        for candidate in candidates:
            own = [use for use in uses if use.candidate is candidate]
            self._report(candidate, self._problem(own, nothing.seen or {}))

    def _use(
        self, candidate: _Candidate | None, role: str, statements: Sequence[Statement]
    ) -> _Use:
        claims = {"role": role}
        if role == "authenticated":
            # nothing of what a relation shows is that of a user without rows
            is_relation = candidate is not None and candidate.kind == "relation"
            claims["sub"] = str(uuid.uuid4() if is_relation else self._own)
        after = [own_role(self._impersonation), *self._watch]
        caller = Caller(
            role=role,
            claims=claims,
            headers={},
            settings={"search_path": "public, extensions"},
        )
        return _Use(
            candidate=candidate,
            caller=caller,
            statements=[*statements, *after],
            own=len(statements),
        )

    def _uses(self, candidate: _Candidate) -> Iterator[_Use]:
        role = candidate.callers[0]
        uses = {
            "function": self._calls,
            "table": self._writes,
            "job": self._runs,
            "relation": self._reads,
        }
        for group in uses[candidate.kind](candidate):
            yield self._use(candidate, role, group)

    def _calls(self, function: _Candidate) -> Iterator[list[Statement]]:
        """Calls with each kind of text; the first text is a time of pg_cron in the last one."""
        name = _qualified(function.name)
        for value in self._profiles(function.types, numbers=(1, -1)):
            call = sql.SQL("select left(r::text, 2000) from {}({}) as r limit {}").format(
                name,
                sql.SQL(", ").join(value),
                sql.Literal(_ROWS),
            )
            yield [Statement(call.as_string(None))]

    def _writes(self, table: _Candidate) -> Iterator[list[Statement]]:
        """An insert of each kind of text, and a delete of the row behind it."""
        name = _qualified(table.name)
        names = [_qualified(column) for column in table.names or ()]
        for value in self._profiles(table.types):
            insert = sql.SQL("insert into {} ({}) values ({})").format(
                name, sql.SQL(", ").join(names), sql.SQL(", ").join(value)
            )
            written = Statement(insert.as_string(None))
            yield [written]
            for column, type in zip(names, table.types, strict=True):
                if type == "uuid":
                    delete = sql.SQL("delete from {} where {} = {}").format(
                        name, column, sql.Literal(str(self._other))
                    )
                    yield [written, Statement(delete.as_string(None))]

    def _reads(self, relation: _Candidate) -> Iterator[list[Statement]]:
        """The rows that contain something of the fixture or of the backend."""
        pattern = "|".join([f"{self._secret} ", *self._rows_of_others])
        query = sql.SQL("select left(to_jsonb(r)::text, 2000) from {} as r").format(
            _qualified(relation.name)
        )
        condition = sql.SQL(" where to_jsonb(r)::text ~ {} limit {}").format(
            sql.Literal(pattern), sql.Literal(_ROWS)
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
                str(self._other),
                f"verify {self._other}",
                "verify.canary",
                _FILE,
                "service_role",
            ):
                texts.append([sql.Literal(name)])
            if "cron.job" in self._present:
                command = sql.Literal(f"select '{self._secret}'")
                texts.append([sql.Literal(_EVERY_MINUTE), command])
        for text in texts:
            yield self._values(types, text, numbers[0])
        if any(_is_number(type) for type in types):
            for number in numbers[1:]:
                yield self._values(types, texts[0], number)

    def _values(
        self, types: Sequence[str], text: Sequence[sql.Composable], number: int
    ) -> list[sql.Composable]:
        rest = iter([*text, *[text[-1]] * len(types)])
        return [self._value(type, rest, number) for type in types]

    def _value(self, type: str, texts: Iterator[sql.Composable], number: int) -> sql.Composable:
        other = str(self._other)
        base = type.removesuffix("[]")
        value: sql.Composable = sql.NULL
        if _is_text(base):
            value = next(texts)
        elif base == "uuid":
            value = sql.Literal(other)
        elif base in ("json", "jsonb"):
            value = sql.Literal(f'{{"id": "{other}", "user_id": "{other}"}}')
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
            if use.seen is None or use.answer is None:
                continue
            if (
                use.candidate is not None
                and use.candidate.kind == "relation"
                and any(id in use.answer for id in self._rows_of_others)
            ):
                return _Problem("shows jobs or guests of others")
            changed = {
                what for what in {*nothing, *use.seen} if nothing.get(what) != use.seen.get(what)
            }
            if (problem := self._change(changed) or self._leak(use.answer)) is not None:
                return problem
        return None

    def _change(self, changed: Collection[str]) -> _Problem | None:
        if "another user" in changed:
            return _Problem(
                "changes or deletes a user, or a session or key, that is not the caller's"
            )
        if "own role" in changed:
            return _Problem(
                "lets its caller choose the role of its next token: service_role, which bypasses"
                " row level security"
            )
        if "scheduled" in changed:
            return _Problem("schedules text of its caller, which pg_cron runs as another role")
        return None

    def _leak(self, answer: str) -> _Problem | None:
        if f"{self._secret} token" in answer:
            return _Problem(
                "returns a token or password of another user: whoever has it can become that user"
            )
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
        elif candidate.kind == "function":
            message = f"{who} can call it, and it {problem.message}"
            fix = f"revoke execute on function {candidate.object} from public, anon, authenticated;"
        else:
            message = f"{who} can write to it, and its trigger or rule {problem.message}"
            fix = f"revoke insert, update, delete on {candidate.object} from anon, authenticated;"
        finding = Finding(
            id=id,
            area=AREA,
            severity=Severity.ERROR,
            object=candidate.object,
            message=message,
            fix=fix,
        )
        self._context.findings.append(finding)
        if candidate.kind in ("function", "relation"):
            self._context.allowed.candidates[id] = {"name": candidate.object}


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
