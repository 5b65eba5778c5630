"""SQL that restores a recorded fact, with what the object loses when it is created again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import split
from supabase_jobs.verify.structure.catalog import Fact, Facts

# the order of the fixes: what others depend on comes first
ORDER = (
    "schema",
    "table",
    "type",
    "definition",
    "options",
    "owner",
    "schema grant",
    "default privilege",
    "rule",
    "child table",
    "parent table",
    "column",
    "persistence",
    "replica identity",
    "storage of column",
    "nullability of column",
    "function",
    "language",
    "arguments",
    "body",
    "security",
    "settings",
    "volatility",
    "null input",
    "parallel",
    "leakproof",
    "cost",
    "execute",
    "default of column",
    "constraint",
    "index",
    "trigger",
    "policy",
    "row level security",
    "row level security for the owner",
    "grant",
    "grant of column",
)
# the kinds of fact that state that an object exists
EXISTENCE = ("schema", "table", "type", "function")
# kinds of fact that only the CREATE statement of a function sets
_OF_CREATE = ("function", "language")
# kinds of fact whose fix creates an object with all its parts
_WHOLE = ("schema", "table", "type")
_ROWS_ARE_LOST = "-- The rows are not restored: copy them from a backup."
# the first word of a statement that creates a function
_CREATE = "create"
_RECREATE = "Run the statement of the migration again."

# a table, or one of its columns (otherwise ''), to the statement that gives its place and name back
Moved = Mapping[tuple[str, str], str]
NOT_MOVED: Moved = {}


@lru_cache(maxsize=8)
def create_statements(texts: tuple[str, ...]) -> Mapping[str, str]:
    """`schema.name` → the CREATE OR REPLACE statement of each function in the migrations; the last
    one counts.
    """
    by_name = {}
    for text in texts:
        for statement in split(text):
            for name, function in syntax.functions(statement.text).items():
                create, rest = statement.code[: len(_CREATE)], statement.code[len(_CREATE) :]
                replaces = "" if function.replaces else " or replace"
                by_name[name] = f"{create}{replaces}{rest};"
    return by_name


@lru_cache(maxsize=8)
def column_places(texts: tuple[str, ...]) -> Mapping[str, int]:
    """`schema.table:column` → a number that grows in the order in which the migrations create the
    columns.
    """
    nodes = (node for text in texts for node in syntax.parse(text) or [])
    names = dict.fromkeys(name for node in nodes for name, _ in syntax.creates(node))
    return {name: number for number, name in enumerate(names)}


def kind_place(kind: str) -> int:
    """The place of a kind of fact in the order of the fixes."""
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


class Fixes:
    """The fixes for deviations of the `actual` facts from the `recorded` ones; `texts` are the
    migrations. `moved` has the statements that move missing objects back.
    """

    def __init__(
        self,
        recorded: Sequence[Fact],
        actual: Facts,
        texts: tuple[str, ...],
        moved: Moved = NOT_MOVED,
    ) -> None:
        self._recorded = recorded
        self._actual = actual
        self._texts = texts
        self._moved = moved

    def restore(self, fact: Fact, now: Fact | None) -> str:
        """The statements that restore a recorded fact whose present value is `now`."""
        if fact.kind in _WHOLE:
            return self._create_whole(fact) if now is None else _RECREATE
        if fact.kind == "column" and (statement := self._moved.get((fact.object, fact.name))):
            return statement
        if fact.kind in _OF_CREATE:
            return self.create_function(
                fact.object, drop=fact.kind == "function" and now is not None
            )
        dropped = "" if now is None else now.drop_sql
        lost = self._details(fact) if now is None or dropped else ()
        return _lines((*self._conflicts(fact, now), dropped, fact.create_sql, *lost)) or _RECREATE

    def remove(self, fact: Fact) -> str:
        """The statements that remove a fact that is not recorded; but not the column grants that
        REVOKE takes along.
        """
        return _lines((fact.drop_sql, *self._column_grants(fact)))

    def create_function(self, signature: str, *, drop: bool = False) -> str:
        """The statement of the migration that creates a function, and its privileges unless it only
        replaces it.
        """
        statement = create_statements(self._texts).get(signature.partition("(")[0])
        if statement is None:
            return _RECREATE
        function = next(
            (f for f in self._recorded if f.object == signature and f.kind == "function"), None
        )
        if function is None or not (drop or function.key not in self._actual):
            return statement
        present = self._actual.get(function.key)
        own = [fact for fact in self._recorded if fact.object == signature]
        kept = [fact.create_sql for fact in own if fact.kind in ("execute", "owner", "comment")]
        # a new function has the default privileges
        return _lines((present.drop_sql if present else "", statement, function.create_sql, *kept))

    def _create_whole(self, whole: Fact) -> str:
        """The statements that create a schema, a table, a view or a type with all its parts."""
        if statement := self._moved.get((whole.object, "")):
            return statement
        places = column_places(self._texts)
        parts = [fact for fact in self._recorded if fact.object == whole.object and fact.create_sql]
        parts.sort(
            key=lambda fact: (kind_place(fact.kind), places.get(f"{fact.object}:{fact.name}", 0))
        )
        rows = _ROWS_ARE_LOST if whole.kind == "table" and whole.create_sql else ""
        return _lines((rows, *(part.create_sql for part in parts))) if parts else _RECREATE

    def _details(self, fact: Fact) -> Iterator[str]:
        """Statements for what an object loses when it is created again, such as comments."""
        yield from (other.create_sql for other in self._recorded if other.parent == fact.key)
        yield from self._column_grants(fact)

    def _column_grants(self, fact: Fact) -> Iterable[str]:
        """The recorded grants on columns that REVOKE on the table removes."""
        if fact.kind != "grant":
            return ()
        end = f" to {fact.name}"
        return (
            other.create_sql
            for other in self._recorded
            if other.object == fact.object
            and other.kind == "grant of column"
            and other.name.endswith(end)
        )

    def _conflicts(self, fact: Fact, now: Fact | None) -> Iterator[str]:
        """The statements that remove another object of this name from the schema: an index of
        another table.
        """
        if fact.kind == "index" and now is None:
            for other in self._actual.values():
                if (other.kind, other.name) == (fact.kind, fact.name) and _schema(other) == _schema(
                    fact
                ):
                    yield other.drop_sql


def _schema(fact: Fact) -> str:
    return fact.object.partition(".")[0]


def _lines(statements: Iterable[str]) -> str:
    return "\n".join(statement for statement in statements if statement)
