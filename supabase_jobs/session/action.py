"""Actions of callers as values that print themselves in five forms.

A new kind of action is a class here, or in the module of its probe. Its forms are:

- as a statement, which the audit sends: `statement`, made of `evidence`;
- for psql: `script`, made of the statement;
- in a test of pgTAP and in one of pytest: `test`, made of `query` in the style of the tests;
- as a request to the API: `method`, with which `session/request.py` builds it; '' if there is none.

So a class says its `kind`, its `query` and its `method`, and, if the audit has to see more than the
number of rows, its `evidence`.

The SQL of an action is a tree of names, constants and fixed text (`psycopg.sql`) until it is
printed, so nothing has to be read out of a statement again. A `Style` decides how names and
constants look.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Protocol, Self

from psycopg import sql
from psycopg.abc import AdaptContext

from supabase_jobs.database.batch import Statement
from supabase_jobs.session import script

# results of a call are cut after this many rows and characters
_MOST_ROWS, _LONGEST = 1000, 100_000


class Constant(sql.Composable):
    """A constant of a type: the text of its value, or None for null. The server has quoted the
    type's name.
    """

    def __init__(self, text: str | None, type: str) -> None:
        super().__init__((text, type))
        self.text, self.type = text, type

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:
        """The literal with its cast."""
        return b"%s::%s" % (sql.Literal(self.text).as_bytes(context), self.type.encode())

    def __hash__(self) -> int:
        return hash((self.text, self.type))


Values = Mapping[str, Constant]


class Style(Protocol):
    """How names and constants are written."""

    def name(self, name: str) -> str:
        """A part of a qualified name."""
        ...

    def constant(self, constant: Constant) -> str:
        """A constant with its type."""
        ...

    def literal(self, value: object) -> str:
        """A value whose type follows from its place."""
        ...


class Exact:
    """Every name is quoted, and every constant has its type."""

    def name(self, name: str) -> str:
        """A part of a qualified name."""
        return sql.Identifier(name).as_string(None)

    def constant(self, constant: Constant) -> str:
        """A constant with its type."""
        return constant.as_string(None)

    def literal(self, value: object) -> str:
        """A value whose type follows from its place."""
        return sql.Literal(value).as_string(None)


EXACT = Exact()


def printed(text: sql.Composable, style: Style = EXACT) -> str:
    """SQL in a style."""
    return "".join(_printed(part, style) for part in parts(text))


def parts(text: sql.Composable) -> Iterator[sql.Composable]:
    """The names, constants and fixed texts of a tree, from left to right."""
    if not isinstance(text, sql.Composed):
        yield text
        return
    for part in text:
        yield from parts(part)


def names(text: sql.Composable) -> Iterator[str]:
    """The parts of all names of a tree."""
    for part in parts(text):
        if isinstance(part, sql.Identifier):
            yield from part._obj  # it has no other accessor


def _printed(part: sql.Composable, style: Style) -> str:
    match part:
        case Constant():
            return style.constant(part)
        case sql.Identifier():
            return ".".join(map(style.name, names(part)))
        case sql.Literal():
            return style.literal(part._obj)
    return part.as_string(None)


@dataclass(frozen=True)
class Cursor:
    """A cursor of the owner on the row that a query selects.

    WHERE CURRENT OF reads no column, so no policy for SELECT applies.
    """

    name: sql.Composable
    query: sql.Composable

    @property
    def condition(self) -> sql.Composable:
        """The condition that only the row of the cursor meets."""
        return sql.SQL("current of {}").format(self.name)

    def opening(self) -> list[Statement]:
        """The statements of the owner that open the cursor."""
        declare = sql.SQL("declare {} no scroll cursor for {}").format(self.name, self.query)
        return [_statement(declare), _statement(sql.SQL("fetch {}").format(self.name))]


@dataclass(frozen=True)
class Action:
    """One thing that a caller does with a table, view or function: the `target`."""

    target: sql.Composable
    kind: ClassVar[str]
    method: ClassVar[str]

    def query(self) -> sql.Composable:
        """The action as SQL, without what shows more than the number of rows."""
        raise NotImplementedError

    def evidence(self) -> sql.Composable:
        """The action with a result that shows what it reaches."""
        return self.query()

    @property
    def assigned(self) -> Values:
        """The columns that it writes, with their values."""
        return {}

    @cached_property
    def statement(self) -> Statement:
        """The action as the audit sends it."""
        return _statement(self.evidence())

    @property
    def script(self) -> str:
        """The action for psql."""
        return script.numbered(self.statement)

    def test(self, style: Style = EXACT) -> str:
        """The action as tests for pgTAP and pytest have it."""
        return printed(self.query(), style)


@dataclass(frozen=True)
class Select(Action):
    """Read rows. `shown` are the columns whose text the evidence returns; without them, only the
    number of rows counts.
    """

    where: sql.Composable
    shown: tuple[sql.Composable, ...] = ()
    kind = "select"
    method = "GET"

    def query(self) -> sql.Composable:
        """One constant for each row."""
        return sql.SQL("select 1 from {} where {}").format(self.target, self.where)

    def evidence(self) -> sql.Composable:
        """The texts of the rows, a line for each, in their own order."""
        if not self.shown:
            return self.query()
        row = sql.SQL("concat_ws(' ', {})").format(sql.SQL(", ").join(self.shown))
        return sql.SQL("select string_agg({0}, chr(10) order by {0}) from {1} where {2}").format(
            row, self.target, self.where
        )


@dataclass(frozen=True)
class SelectAny(Action):
    """Read a column of any row."""

    column: sql.Composable
    kind = "select"
    method = "GET"

    def query(self) -> sql.Composable:
        """At most one row."""
        return sql.SQL("select {} from {} limit 1").format(self.column, self.target)


@dataclass(frozen=True)
class Insert(Action):
    """Insert a row with these columns."""

    values: Values
    kind = "insert"
    method = "POST"

    @property
    def assigned(self) -> Values:
        """The columns of the row."""
        return self.values

    def query(self) -> sql.Composable:
        """The columns in their order, or the defaults of all."""
        if not self.values:
            return sql.SQL("insert into {} default values").format(self.target)
        return sql.SQL("insert into {} ({}) values ({})").format(
            self.target,
            sql.SQL(", ").join(map(sql.Identifier, self.values)),
            sql.SQL(", ").join(self.values.values()),
        )


@dataclass(frozen=True)
class Change(Action):
    """Change the rows that meet a condition, or all; with a cursor, only its row."""

    where: sql.Composable | None = None
    cursor: Cursor | None = None

    def by_key(self) -> Self:
        """The same without the cursor: the condition reads columns."""
        return replace(self, cursor=None)

    def of_all(self) -> Self:
        """The same for every row."""
        return replace(self, where=None, cursor=None)

    def query(self) -> sql.Composable:
        """The change with its condition."""
        where = self.where if self.cursor is None else self.cursor.condition
        if where is None:
            return self.change()
        return sql.SQL("{} where {}").format(self.change(), where)

    def change(self) -> sql.Composable:
        """The statement without a condition."""
        raise NotImplementedError


@dataclass(frozen=True)
class Update(Change):
    """Update rows with constants."""

    values: Values = field(default_factory=dict)
    kind = "update"
    method = "PATCH"

    @property
    def assigned(self) -> Values:
        """The columns of the assignments."""
        return self.values

    def change(self) -> sql.Composable:
        """The assignments."""
        return sql.SQL("update {} set {}").format(self.target, equal(self.values, ", "))


@dataclass(frozen=True)
class Delete(Change):
    """Delete rows."""

    kind = "delete"
    method = "DELETE"

    def change(self) -> sql.Composable:
        """The statement without a condition."""
        return sql.SQL("delete from {}").format(self.target)


@dataclass(frozen=True)
class Truncate(Action):
    """Empty a table, which no policy restricts."""

    kind = "truncate"
    method = ""

    def query(self) -> sql.Composable:
        """The statement."""
        return sql.SQL("truncate {}").format(self.target)


@dataclass(frozen=True)
class Call(Action):
    """Call a function; `variadic`: the last argument is an array of any number of them."""

    arguments: tuple[Constant, ...] = ()
    variadic: bool = False
    kind = "call"
    method = "POST"

    def query(self) -> sql.Composable:
        """The rows that the function returns."""
        given: list[sql.Composable] = list(self.arguments)
        if self.variadic:
            given[-1] = sql.SQL("variadic {}").format(given[-1])
        arguments = sql.SQL(", ").join(given)
        return sql.SQL("select * from {}({})").format(self.target, arguments)

    def evidence(self) -> sql.Composable:
        """The texts of the first rows, a line for each, in their own order."""
        text = (
            "select left(string_agg(r::text, chr(10) order by r::text), {}) from ({} limit {}) as r"
        )
        return sql.SQL(text).format(sql.Literal(_LONGEST), self.query(), sql.SQL(str(_MOST_ROWS)))


@dataclass(frozen=True)
class Query(Action):
    """A query about the target."""

    text: sql.Composable
    kind = "query"
    method = ""

    def query(self) -> sql.Composable:
        """The query."""
        return self.text


def equal(values: Mapping[str, sql.Composable], separator: str) -> sql.Composable:
    """`column = value` for each column."""
    return sql.SQL(separator).join(
        sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in values.items()
    )


def texts(values: Values) -> dict[str, str | None]:
    """The values as text."""
    return {name: constant.text for name, constant in values.items()}


def _statement(text: sql.Composable) -> Statement:
    return Statement(text.as_string(None))
