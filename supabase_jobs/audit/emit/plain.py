"""Statements of the audit as people write them: plain names, no needless casts, times relative to
now.
"""

import hashlib
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from psycopg import sql

from supabase_jobs.audit.emit.recording import RecordedRow, Recording, RowText
from supabase_jobs.audit.rows import values
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session.action import Action, Constant, Exact, names, printed
from supabase_jobs.session.caller import Caller

_NAMES = Path(__file__).with_name("names.sql")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NUMBERS = ("smallint", "integer", "bigint", "numeric", "real", "double precision")
_TIMES = {
    "timestamp with time zone": "now()",
    "timestamp without time zone": "localtimestamp",
    "date": "current_date",
}
# of days, in generated rows
_RANGES = ("daterange", "tsrange", "tstzrange")
_MULTIRANGES = {
    "datemultirange": "daterange",
    "tsmultirange": "tsrange",
    "tstzmultirange": "tstzrange",
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


class AsSent(Exact):
    """The statements of a recording as the audit sent them."""

    def row(self, row: RecordedRow) -> RowText:
        """The insertion of a row."""
        return row.text()

    def text(self, text: sql.Composable) -> str:
        """One statement."""
        return printed(text, self)

    def action(self, action: Action) -> str:
        """The statement of an action."""
        return action.test(self)

    def call(self, action: Action) -> str:
        """The call of a function. Its arguments have types, which choose among functions of one
        name.
        """
        return action.test()

    def caller(self, caller: Caller) -> Caller:
        """A caller."""
        return caller

    def argument(self, constant: Constant) -> str:
        """An argument of a call, without its type."""
        return "NULL" if constant.text is None else self.literal(constant.text)


class Plain(AsSent):
    """The statements of a recording as people write them. Asks the server once which names need
    quotes.
    """

    def __init__(self, connection: Connection, recording: Recording) -> None:
        self._now, self._printable = recording.now, recording.printable
        long = [value for value in recording.drawn if len(value) >= _LEAST_DRAWN]
        self._drawn = {value: _redrawn(value, number) for number, value in enumerate(long)}
        self._identifiers = recording.identifiers
        found: set[str] = set().union(*map(names, _texts(recording)))
        self._names = dict(sql_file(_NAMES).rows(connection, sorted(found)))

    def label(self, label: str) -> str:
        """A table or view with quotes where they are necessary."""
        return self.text(self._identifiers[label])

    def row(self, row: RecordedRow) -> RowText:
        """The insertion of a row."""
        settings = tuple((name, self._stable(value)) for name, value in row.settings)
        return RowText(self.text(row.statement), settings)

    def call(self, action: Action) -> str:
        """The call of a function, whose arguments have types."""
        return action.test(_WithTypes(self))

    def caller(self, caller: Caller) -> Caller:
        """A caller with the same random values in each run."""
        return caller.mapped(self._stable)

    def argument(self, constant: Constant) -> str:
        """An argument of a call, without its type."""
        return self._relative(constant) or super().argument(constant)

    def name(self, name: str) -> str:
        """A name with quotes if they are necessary."""
        return str(self._names.get(name) or super().name(name))

    def constant(self, constant: Constant) -> str:
        """A constant with its type only where the place does not show it."""
        text, type_ = constant.text, constant.type
        if text is None or type_.endswith("]"):
            return self.with_type(constant)
        if type_ == "boolean" and text in ("true", "false"):
            return text
        if type_.partition("(")[0] in _NUMBERS and _NUMBER.fullmatch(text):
            return text if self._may_print(text) else self.literal(text)
        return self._relative(constant) or self.literal(text)

    def literal(self, value: object) -> str:
        """A value with the same random texts in each run."""
        if isinstance(value, list):
            return super().literal([self._stable(item) for item in value])
        return super().literal(self._stable(value) if isinstance(value, str) else value)

    def with_type(self, constant: Constant) -> str:
        """A constant with its type; a generated time is an expression."""
        value = "NULL" if constant.text is None else self.literal(constant.text)
        return self._relative(constant) or f"{value}::{constant.type}"

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

    def _may_print(self, number: str) -> bool:
        """Whether a number may stand without quotes: a private one is replaced as a literal."""
        return self._printable is None or self._printable.includes(number)

    def _stable(self, text: str) -> str:
        """A text with the same random values in each run."""
        for value, replacement in self._drawn.items():
            text = text.replace(value, replacement)
        return text

    def _relative(self, constant: Constant) -> str:
        """A generated time or range of days as an expression; '' for one that does not depend on
        when the rows were made, and for other values.
        """
        type_ = constant.type
        if constant.text is None:
            return ""
        if type_ not in _TIMES:
            return self._relative_range(constant.text, type_)
        moment = values.time_of(constant.text)
        if moment is None:
            return ""
        now = self._now.replace(hour=0, minute=0, second=0) if type_ == "date" else self._now
        distance = moment - now
        if abs(distance) > _MAX_DISTANCE:
            return ""
        if moment.microsecond:  # by the server's clock
            distance = timedelta(days=round(distance / timedelta(days=1)))
        return _shifted(_TIMES[type_], distance)

    def _relative_range(self, text: str, type_: str) -> str:
        if type_ in _MULTIRANGES:
            one = self._relative_range(text[1:-1], _MULTIRANGES[type_])
            return one and f"{type_}({one})"
        if type_ not in _RANGES or not (text.startswith("[") and text.endswith(")")):
            return ""
        days = [self._relative_day(bound.strip('"')) for bound in text[1:-1].split(",")]
        return f"{type_}({', '.join(days)})" if all(days) else ""

    def _relative_day(self, text: str) -> str:
        """The day of a bound, which is a day or its begin, as the server or the audit prints it."""
        moment = values.time_of(text)
        if moment is None or moment.time() != time():
            return ""
        distance = moment.date() - self._now.date()
        return "" if abs(distance) > _MAX_DISTANCE else _shifted(_TIMES["date"], distance)


class _WithTypes(Exact):
    """The style of `Plain`, in which every constant has its type."""

    def __init__(self, plain: Plain) -> None:
        self._plain = plain

    def name(self, name: str) -> str:
        return self._plain.name(name)

    def constant(self, constant: Constant) -> str:
        return self._plain.with_type(constant)

    def literal(self, value: object) -> str:
        return self._plain.literal(value)


def _texts(recording: Recording) -> Iterator[sql.Composable]:
    """All SQL of a recording."""
    yield from recording.identifiers.values()
    for row in recording.rows:
        yield from (row.statement, row.short or row.statement)
    for attempt in recording.attempts:
        actions = [*(showing.action for showing in attempt.showings), attempt.sent]
        yield from (action.query() for action in actions if action is not None)
        yield from (showing.target for showing in attempt.showings if showing.target is not None)


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
