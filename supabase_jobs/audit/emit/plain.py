"""Statements of the audit as people write them: plain names, no needless casts, times relative to
now.
"""

import hashlib
import re
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.recording import Cursor, RecordedAttempt, RecordedRow, Recording
from supabase_jobs.audit.rows import values
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file

_NAMES = Path(__file__).with_name("names.sql")
_LITERAL = r"(?P<literal>E?'(?:[^']|'')*')"
_WORD = r'(?:"(?:[^"]|"")*"|\w+)'
_TYPE = (
    r"(?:timestamp(?:\(\d\))? with(?:out)? time zone|time(?:\(\d\))? with(?:out)? time"
    r" zone|double precision"
    rf"|character varying|bit varying|{_WORD}(?:\.{_WORD})?)(?:\([\d, ]+\))?(?:\[\])*"
)
# a literal with its cast, or a quoted name: in this order, because each may contain what looks like
# the other
_TOKEN = re.compile(rf'{_LITERAL}(?:::(?P<type>{_TYPE}))?|"(?P<name>(?:[^"]|"")*)"')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_TIMES = {
    "timestamp with time zone": "now()",
    "timestamp without time zone": "localtimestamp",
    "date": "current_date",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# shorter values may occur in other texts by chance
_LEAST_DRAWN = 16
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# what is random in a value: not a prefix such as `pk_`
_RUN = re.compile(r"[0-9A-Za-z]{8,}")
_KINDS = (
    string.digits,
    string.digits + "abcdef",
    string.digits + "ABCDEF",
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_letters,
)
# generated times are not farther away
_MAX_DISTANCE = timedelta(days=400)


class Plain:
    """Rewrites the statements of a recording. Asks the server once which names need quotes."""

    def __init__(self, connection: Connection, recording: Recording) -> None:
        self._now = recording.now
        long = [value for value in recording.drawn if len(value) >= _LEAST_DRAWN]
        self._drawn = {value: _redrawn(value, number) for number, value in enumerate(long)}
        texts = [r.sql for r in recording.rows] + [r.short for r in recording.rows]
        for attempt in recording.attempts:
            texts += [attempt.blind, *(check.sql for check in attempt.checks)]
            texts += [check.target for check in attempt.checks]
        labels = [part for label in recording.related for part in label.split(".", 1)]
        tokens = (
            found for text in texts for found in _TOKEN.finditer(text) if found["name"] is not None
        )
        names = {*labels, *map(_name, tokens)}
        self._names = dict(sql_file(_NAMES).rows(connection, sorted(names)))

    def name(self, label: str) -> str:
        """`schema.name` with quotes where they are necessary."""
        return ".".join(str(self._names.get(part, part)) for part in label.split(".", 1))

    def row(self, row: RecordedRow) -> RecordedRow:
        """The insertion of a row."""
        settings = tuple((name, self._stable(value)) for name, value in row.settings)
        return replace(row, sql=self.text(row.sql), short=self.text(row.short), settings=settings)

    def attempt(self, attempt: RecordedAttempt) -> RecordedAttempt:
        """An attempt; the arguments of a function keep their casts, which choose among functions of
        one name.
        """
        casts = attempt.action in ("call", "exists")
        checks = (
            replace(c, sql=self.text(c.sql, casts=casts), target=self.text(c.target))
            for c in attempt.checks
        )
        cursor = attempt.cursor and Cursor(attempt.cursor.name, self.text(attempt.cursor.query))
        blind = self.text(attempt.blind)
        return replace(
            attempt,
            caller=attempt.caller.mapped(self._stable),
            checks=tuple(checks),
            blind=blind,
            cursor=cursor,
        )

    def text(self, text: str, *, casts: bool = False) -> str:
        """One statement."""

        def plain(found: re.Match[str]) -> str:
            if found["name"] is not None:
                return str(self._names.get(_name(found), found[0]))
            literal, type_ = found["literal"], found["type"]
            if type_ is None:
                return found[0]
            value = literal[1:-1]
            if type_ in _TIMES and (relative := self._relative(value, type_)) is not None:
                return relative
            if casts or type_.endswith("]"):
                return f"{literal}::{type_}"
            if type_ == "boolean" and value in ("true", "false"):
                return value
            is_number = type_.partition("(")[0] in _NUMBERS and _NUMBER.fullmatch(value)
            return value if is_number else literal

        return _TOKEN.sub(plain, self._stable(text))

    def has_generated_time(self, text: str) -> bool:
        """Whether a result contains a date near that of the generated rows."""
        for found in _DATE.findall(text):
            try:
                moment = datetime.fromisoformat(found).replace(tzinfo=UTC)
            except ValueError:
                continue
            if abs(moment - self._now) <= _MAX_DISTANCE:
                return True
        return False

    def _stable(self, text: str) -> str:
        """A text with the same random values in each run."""
        for value, replacement in self._drawn.items():
            text = text.replace(value, replacement)
        return text

    def _relative(self, value: str, type_: str) -> str | None:
        """A generated time as an expression; None for a time that does not depend on when the rows
        were made.
        """
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        now = self._now.replace(hour=0, minute=0, second=0) if type_ == "date" else self._now
        distance = moment - now
        if abs(distance) > _MAX_DISTANCE:
            return None
        if moment.microsecond:  # by the server's clock
            distance = timedelta(days=round(distance / timedelta(days=1)))
        return _shifted(_TIMES[type_], distance)


def _name(found: re.Match[str]) -> str:
    """The name in quotes."""
    return found["name"].replace('""', '"')


def _redrawn(value: str, number: int) -> str:
    """A value of the same form, which follows from its number."""
    if _UUID.fullmatch(value):
        return values.made_uuid(f"drawn {number}")
    digest = hashlib.sha512(f"drawn {number}".encode()).digest()

    def of_its_kind(found: re.Match[str]) -> str:
        kind = next(kind for kind in _KINDS if set(found[0]) <= set(kind))
        return "".join(kind[digest[at % len(digest)] % len(kind)] for at in range(len(found[0])))

    return _RUN.sub(of_its_kind, value)


def _shifted(start: str, distance: timedelta) -> str:
    """The time at a distance, in SQL."""
    if not distance:
        return start
    if start == _TIMES["date"]:
        text = sql.SQL("({} + {})").format(sql.SQL(start), sql.Literal(distance.days))
    else:
        interval = sql.Literal(f"{distance.days} days {distance.seconds} seconds")
        text = sql.SQL("({} + interval {})").format(sql.SQL(start), interval)
    return text.as_string(None)
