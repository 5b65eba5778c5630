"""Objects that requests can use: functions, tables, views, and what runs after them."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from supabase_jobs.verify.access.reach import texts

QUERY = Path(__file__).with_name("candidates.sql")

TABLE, VIEW, MATERIALIZED_VIEW = "table", "view", "materialized view"
# Storage, Realtime and the functions for queues read their tables as the caller
_SERVED = ("storage", "realtime", "pgmq_public")
# more literals than this of a text are left out
MOST_LITERALS = 8

# kind, schema, … : a row of the query
Row = Sequence[Any]


class Kind(StrEnum):
    """The kinds of candidates: each is used in its own way."""

    FUNCTION = "function"
    COMPUTED_COLUMN = "computed"
    # requests insert rows, and read what they may
    TABLE = "table"
    # requests change or delete rows that others insert
    KEPT = "kept"
    RELATION = "relation"
    # a job or guest refers to its rows, which requests delete
    PARENT = "parent"
    # users write it, for what reads it
    SOURCE = "source"
    # users change its rows, but insert none
    CHANGED = "changed"
    # its rows may make users members of the same group
    MEMBER = "member"
    # what Realtime sends to everybody who knows the topic
    MESSAGES = "messages"
    SIGN_UP = "sign-up"
    # a trigger of a managed table that may change the owner of a job
    STATE = "state"
    # the server runs scheduled jobs
    SCHEDULE = "schedule"
    JOB = "job"


@dataclass(frozen=True)
class Candidate:
    """A function, or a table or view, that requests can use. `names` and `types` are those of its
    arguments, or of its columns; those of a computed column are of its `relation`. `required` and
    `refers` say which columns need a value, and to which tables they refer; `key` is the one that
    identifies a row. A source is a table that users write, for what reads it. `fires` are the
    trigger functions of this table only, and `events` when they run. `shown_by` are the names by
    which a text may read it: its own, and those of the relations that show rows of a source.
    """

    kind: Kind
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

    @property
    def type_of_key(self) -> str:
        """The type of the column that identifies a row; empty if there is none."""
        return dict(zip(self.names or (), self.types, strict=True)).get(self.key, "")

    def reads(self, source: "Candidate") -> bool:
        """Whether its text mentions a table."""
        return source.is_read_by(self.text)

    def is_read_by(self, text: str) -> bool:
        """Whether a text mentions this table, or a view or table that shows rows of it."""
        names = "|".join(map(re.escape, self.shown_by))
        return re.search(rf"(?<!\w)({names})(?!\w)", text) is not None

    def writes_for(self, text: str) -> bool:
        """Whether it is a function that writes a table which the text of another one reads."""
        read = set(map(_unqualified, texts.read_names(text)))
        written = set(map(_unqualified, texts.written_names(self.text)))
        return self.kind is Kind.FUNCTION and bool(read & written)

    @property
    def literals(self) -> list[str]:
        """The first literals of its text that may be a value of a column."""
        found = dict.fromkeys(texts.literals(self.text))
        return [one for one in found if 0 < len(one) <= 40 and "%" not in one][:MOST_LITERALS]

    @property
    def patterns(self) -> list[str]:
        """The first literals of its text with which it may compare by LIKE."""
        found = dict.fromkeys(texts.literals(self.text))
        return [one for one in found if len(one) <= 40 and one.strip("%") and "%" in one][:2]

    @property
    def may_change_caller(self) -> bool:
        """Whether its text may make its caller another one."""
        return texts.sets(self.text) or texts.is_dynamic(self.text)

    @property
    def is_served(self) -> bool:
        """Whether it belongs to what Storage, Realtime or the queues read as the caller."""
        return self.schema in _SERVED

    @property
    def is_tried(self) -> bool:
        """Whether somebody can use it, and it does nothing that a rollback does not undo."""
        return bool(self.callers) and texts.stays_inside(self.text)


def candidates_of(rows: Iterable[Row]) -> list[Candidate]:
    """The candidates that the rows of `QUERY` are."""
    return [replace(Candidate(*row), kind=Kind(row[0])) for row in rows]


def sources_of(candidates: Iterable[Candidate], exposed: Collection[str]) -> list[Candidate]:
    """The tables that users write in the exposed schemas."""
    return [one for one in candidates if one.kind is Kind.SOURCE and one.schema in exposed]


def tables_of(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The tables of the project with all of their columns."""
    return [one for one in candidates if one.kind is Kind.MEMBER]


def functions_of(candidates: Iterable[Candidate], exposed: Collection[str]) -> list[Candidate]:
    """The functions that users can call in the exposed schemas."""
    functions = (one for one in candidates if one.kind is Kind.FUNCTION)
    return [one for one in functions if one.schema in exposed and one.is_tried]


def job_of(row: Row, sources: Sequence[Candidate]) -> Candidate:
    """A scheduled job, whose name is its command, with the tables that it reads and users write.
    The row has its name, its command and the text of what the command calls.
    """
    name, command, body = row
    job = Candidate(
        kind=Kind.JOB,
        schema="cron",
        name=command,
        object=f"scheduled job {name}",
        callers=["authenticated"],
        names=None,
        types=(),
        text=f"{command} {body}",
    )
    names = [source.name for source in sources if job.reads(source)]
    users = ["auth.users"] if texts.reads_metadata(job.text) else []
    return replace(job, names=[*names, *users])


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2].strip('"')
