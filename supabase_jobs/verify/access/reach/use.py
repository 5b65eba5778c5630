"""One use of a candidate by a caller: what is sent, what it answers, and what it changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import LOCK_ERRORS
from supabase_jobs.session.caller import Caller
from supabase_jobs.verify.access.reach.candidate import Candidate, Row

# the row is written, and the own role is back
_BEFORE_DELETE = 2


@dataclass(frozen=True)
class Act:
    """The statements of one use. `is_control`: what happens without the caller, for the uses that
    follow.
    """

    statements: Sequence[Statement]
    is_control: bool = False


@dataclass(eq=False)
class Use:
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
    control: "Use | None" = None
    is_control: bool = False
    wrote: frozenset[str] = frozenset()
    is_refused: bool = False
    returning: frozenset[int] = frozenset()

    @property
    def said(self) -> str:
        """The texts of the own statements."""
        return " ".join(statement.sql for statement in self.statements[: self.own])

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
        self.answer = "\n".join("" if row[0] is None else str(row[0]) for row in rows)
        seen: dict[str, list[str]] = {}
        for answer in answers[self.own + 1 :]:
            for what, value in answer.rows:
                seen.setdefault(what, []).append(value)
        self.seen = {what: sorted(values) for what, values in seen.items()}


@dataclass(eq=False)
class Answered:
    """Statements of a caller, and the rows that the last one returned; None if one failed."""

    caller: Caller
    statements: Sequence[Statement]
    rows: Sequence[Row] | None = None

    def read(self, result: GroupResult) -> None:
        """Read the rows of the last statement."""
        if isinstance(result.error, LOCK_ERRORS):
            raise result.error
        self.rows = None if result.error else result.answers[-1].rows
