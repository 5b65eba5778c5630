"""Values that mean another user, its job, a secret or a file, for the arguments of functions and
the columns of rows.
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from psycopg import sql

# rows of an answer that are read
MOST_ROWS = 200
ADDRESS = "current_setting('verify.email')"
_EVERY_MINUTE = "* * * * *"
_FILE = "PG_VERSION"
# how links and hooks hide a text that they contain
_FORMS = (
    "md5({})",
    "encode(sha256(convert_to({}, 'utf8')), 'hex')",
    "encode(convert_to({}, 'utf8'), 'base64')",
    "encode(convert_to({}, 'utf8'), 'hex')",
)
_OF_IDS = ("uuid", "json", "jsonb")
_NAMES_OF_IDS = ("id", "user_id", "job_id", "guest_id")
_NUMBERS = (
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "oid",
    "regclass",
)


@dataclass(frozen=True)
class Values:
    """The values of one trial. `ids` are the other user and what belongs to it, `shown` what its
    rows show, and `texts` those of the declaration. `queues` are the names of queues; `has_jobs`:
    the server runs scheduled jobs. A job can have the `state`.
    """

    ids: Sequence[uuid.UUID]
    secret: str
    shown: Sequence[str]
    texts: Sequence[str]
    queues: Sequence[str]
    has_jobs: bool
    state: str

    @property
    def other(self) -> uuid.UUID:
        """The other user."""
        return self.ids[0]

    def computed(self) -> list[Sequence[sql.Composable]]:
        """The texts that anybody computes from the address and the id of the other user."""
        address = sql.SQL("lower({})").format(sql.SQL(ADDRESS))
        known = [address, sql.Literal(str(self.other))]
        return [[sql.SQL(form).format(text)] for form in _FORMS for text in known]

    @property
    def statement(self) -> str:
        """A statement that shows that it has run."""
        return f"select set_config('verify.reached', concat('{self.secret}', ' run'), true)"

    @property
    def address(self) -> str:
        """An address that nobody has."""
        return f"{self.secret}@verify.invalid"

    def fragments(self) -> list[Sequence[sql.Composable]]:
        """The texts that run as a part of a statement: a condition, a number, a table, and the end
        and the beginning of a literal.
        """
        run = f"set_config('verify.reached', concat('{self.secret}', ' run'), true)"
        return [
            [sql.Literal(fragment)]
            for fragment in (
                f"(select {run}) is not null",
                f"length({run})",
                f"(select {run}) as verify",
                f"' || {run} || '",
            )
        ]

    def addresses(self, types: Sequence[str]) -> list[Sequence[sql.Composable]]:
        """The texts that name a row of others."""
        if not any(is_text(type) for type in types):
            return []
        own = [[sql.Literal(text)] for text in self.texts if text in self.shown]
        return [[sql.SQL(ADDRESS)], *own]

    def of_texts(self, types: Sequence[str]) -> list[Sequence[sql.Composable]]:
        """The texts for arguments or columns of these types."""
        texts: list[Sequence[sql.Composable]] = [[sql.SQL(ADDRESS)]]
        if not any(is_text(type) for type in types):
            return texts
        for name in (
            *map(str, self.ids),
            f"verify {self.other}",
            "verify.canary",
            self.statement,
            _FILE,
            "service_role",
            *self.texts,
            *self.queues,
        ):
            texts.append([sql.Literal(name)])
        if self.has_jobs:
            command = sql.Literal(f"select '{self.secret}'")
            texts.append([sql.Literal(_EVERY_MINUTE), command])
        return texts

    def profiles(
        self,
        types: Sequence[str],
        numbers: Sequence[sql.Composable] = (sql.Literal(1),),
        more: Sequence[Sequence[sql.Composable]] = (),
        names: Sequence[str] = (),
    ) -> Iterator[list[sql.Composable]]:
        """The values for arguments or columns of these types, once for each text and each of
        `more`, and the first text with each of the numbers. JSON has the text under each of
        `names`, and as a name.
        """
        has_texts = any(map(is_text, types))
        texts = [*self.of_texts(types), *(more if has_texts else ())]
        for text in texts:
            yield self._of(types, text, numbers[0], self.other)
        if more and not has_texts and any(map(_is_json, types)):
            run = [sql.Literal(self.statement)]
            for text in (run, *more):
                values = self._of(types, text, numbers[0], self.other)
                yield [
                    _object(text, names) if _is_json(type) else value
                    for type, value in zip(types, values, strict=True)
                ]
        if any(type.removesuffix("[]") in _OF_IDS for type in types):
            for id in self.ids[1:]:
                yield self._of(types, texts[0], numbers[0], id)
        yield from self._states(types, numbers[0])
        if any(_is_number(type) for type in types):
            for number in numbers[1:]:
                yield self._of(types, texts[0], number, self.other)

    def _states(
        self, types: Sequence[str], number: sql.Composable
    ) -> Iterator[list[sql.Composable]]:
        """The values that give another row the state: an id names it, or a text."""
        texts = sum(map(is_text, types))
        if not (self.state and texts):
            return
        state = sql.Literal(self.state)
        for id in self.ids:
            if any(type.removesuffix("[]") in _OF_IDS for type in types):
                yield self._of(types, [state], number, id)
            if texts > 1:
                yield self._of(types, [sql.Literal(str(id)), state], number, id)

    def of_tables(
        self, types: Sequence[str], tables: Sequence[str]
    ) -> Iterator[list[sql.Composable]]:
        """The values for dynamic SQL: each table, qualified or not, with a condition or an id; if
        there are more texts, also with the name of a column before the id.
        """
        columns = _NAMES_OF_IDS if sum(map(is_text, types)) > 2 else ()
        for table in tables:
            for name in (table, table.rpartition(".")[2]):
                for id, last in [(self.other, "true"), *((id, str(id)) for id in self.ids)]:
                    text = [sql.Literal(name), sql.Literal(last)]
                    yield self._of(types, text, number_of(table), id)
                for column, id in product(columns, self.ids):
                    text = [sql.Literal(part) for part in (name, column, str(id))]
                    yield self._of(types, text, number_of(table), id)

    def _of(
        self,
        types: Sequence[str],
        text: Sequence[sql.Composable],
        number: sql.Composable,
        id: uuid.UUID,
    ) -> list[sql.Composable]:
        rest = iter([*text, *[text[-1]] * len(types)])
        return [value_of(type, rest, number, id) for type in types]


def value_of(
    type: str, texts: Iterator[sql.Composable], number: sql.Composable, id: uuid.UUID
) -> sql.Composable:
    """A value of a type: the next text, the number, the id, or what it needs."""
    other = str(id)
    base = type.removesuffix("[]")
    value: sql.Composable = sql.NULL
    if is_text(base):
        value = next(texts)
    elif base == "uuid":
        value = sql.Literal(other)
    elif base in ("json", "jsonb"):
        named = dict.fromkeys(_NAMES_OF_IDS, other)
        value = sql.Literal(json.dumps(named))
    elif base == "boolean":
        value = sql.Literal(True)
    elif _is_number(base):
        value = number
    elif base.startswith(("timestamp", "date")):
        value = sql.SQL("now()")
    if value is not sql.NULL and base != type:
        value = sql.SQL("array[{}]").format(value)
    return sql.SQL("{}::{}").format(value, sql.SQL(type))


def ordinary(type: str, id: uuid.UUID) -> sql.Composable:
    """A value of a type that means nothing, or the id."""
    return value_of(type, iter([sql.Literal("verify")]), sql.Literal(1), id)


def _object(text: Sequence[sql.Composable], names: Sequence[str]) -> sql.Composable:
    """A JSON object with a text under each of the names, and under itself."""
    pairs = [*((sql.Literal(name), text[0]) for name in names), (text[0], text[-1])]
    members = sql.SQL(", ").join(member for pair in pairs for member in pair)
    return sql.SQL("jsonb_build_object({})").format(members)


def row_of(table: str, id: uuid.UUID) -> sql.Composable:
    """A row of a table that names an id, and that nobody has inserted."""
    named = sql.Literal(json.dumps(dict.fromkeys(_NAMES_OF_IDS, str(id))))
    return sql.SQL("jsonb_populate_record(null::{}, {}::jsonb)").format(qualified(table), named)


def insert_of(
    table: str, values: Mapping[str, sql.Composable], *, overriding: bool = False
) -> sql.Composed:
    """An insert of one row. `overriding`: also into an identity column that is always generated."""
    return sql.SQL("insert into {} ({}) {}values ({})").format(
        qualified(table),
        sql.SQL(", ").join(map(qualified, values)),
        sql.SQL("overriding system value " if overriding else ""),
        sql.SQL(", ").join(values.values()),
    )


def call_of(function: str, values: Sequence[sql.Composable]) -> sql.Composed:
    """A call, with the beginning of what it returns."""
    return sql.SQL("select left(r::text, 2000) from {}({}) as r limit {}").format(
        qualified(function), sql.SQL(", ").join(values), sql.Literal(MOST_ROWS)
    )


def number_of(table: str) -> sql.Composable:
    """The number under which the server knows a table."""
    return sql.SQL("to_regclass({})::oid").format(sql.Literal(table))


def qualified(name: str) -> sql.SQL:
    """A name that format('%I') or quote_ident() has written."""
    return sql.SQL(name.replace("{", "{{").replace("}", "}}"))


def _is_json(type: str) -> bool:
    return type in ("json", "jsonb")


def _is_number(type: str) -> bool:
    return type.removesuffix("[]") in _NUMBERS


def is_text(type: str) -> bool:
    """Whether values of a type, or the elements of an array type, are texts."""
    return type.removesuffix("[]") in ("text", "character varying", "citext", "name", "character")
