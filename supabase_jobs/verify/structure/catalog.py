"""Facts that the catalog queries report about managed objects, and the psql scripts that show them.

Every file in `queries/` takes the names of objects as `$1` and selects the columns of `Fact`, in
its order.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path

from psycopg import sql

from supabase_jobs.database import prepare
from supabase_jobs.database.batch import Statement, read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Id
from supabase_jobs.session import script
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import AREA

_QUERIES = Path(__file__).parent / "queries"

# Before a recursive query runs, PostgreSQL clears its hash tables, which may be as large as
# `work_mem` allows. With 4 MB, this is half of the time of some lints. Planning takes most of the
# rest: a tenth of it are ways to join catalogs that are never taken.
_PLANNER = Statement(
    "select set_config('work_mem', '1MB', true), set_config('enable_mergejoin', 'off', true),"
    " set_config('enable_memoize', 'off', true)"
)


@dataclass(frozen=True)
class Fact:
    """The `value` of one property (`kind`, `name`) of an object.

    `create_sql` restores the fact and `drop_sql` removes it; each is '' if no SQL does.
    `unexpected_severity` applies to a fact that is not recorded (None: not reported; `untried`: see
    `additions`), `deviation_severity` to a recorded fact that is missing or has another value.
    """

    object: str
    kind: str
    name: str
    value: str
    create_sql: str
    drop_sql: str
    unexpected_severity: str | None
    deviation_severity: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The object, the kind and the name: what identifies the fact."""
        return self.object, self.kind, self.name

    @property
    def parent(self) -> tuple[str, str, str] | None:
        """The key of the fact that this one belongs to: the column of a default, the policy of a
        comment. The kinds are words of the snapshot, which is a file.
        """
        _, of, kind = self.kind.partition(" of ")
        if not of:
            return None
        name = self.name.partition(" to ")[0] if "grant" in self.kind else self.name
        return self.object, kind, name

    @property
    def path(self) -> str:
        """Its key as lints have it."""
        return Id(*self.key)

    @property
    def id(self) -> Id:
        """The id of the fact's case or finding."""
        return Id(AREA, *self.key)

    @property
    def subject(self) -> str:
        """The kind and the name for messages: `policy "guests read their own jobs"`."""
        return f'{self.kind} "{self.name}"' if self.name else self.kind


# facts by their keys
Facts = Mapping[tuple[str, str, str], Fact]


def read_facts(
    connection: Connection, names: Sequence[str], *, repeated: bool = False
) -> list[Fact]:
    """All facts about the objects with these names, in one round trip; `repeated` runs `prepared`
    statements.

    Sets `work_mem` and the planner's choices for the rest of the transaction or savepoint.
    """
    if repeated:
        statements = execute_statements(tuple(names))
    else:
        statements = [sql_file(path).statement(list(names)) for path in _queries()]
    _, *results = read(connection, [_PLANNER, *statements])
    return [Fact(*row) for rows in results for row in rows]


def prepared(connection: Connection) -> AbstractContextManager[None]:
    """Prepare the catalog queries for the open transaction: planning them takes longer than running
    them.
    """
    statements = {_statement_name(path): sql_file(path).text.encode() for path in _queries()}
    return prepare.prepared(connection, statements, " (text[])")


@lru_cache(maxsize=4)
def execute_statements(names: tuple[str, ...]) -> list[Statement]:
    """The statements that run the `prepared` queries, in the order of the facts."""
    execute, argument = sql.SQL("execute {} ({})"), sql.Literal(list(names))
    names_of = [sql.Identifier(_statement_name(path)) for path in _queries()]
    return [Statement(execute.format(name, argument).as_string(None)) for name in names_of]


@cache
def _queries() -> tuple[Path, ...]:
    return tuple(sorted(_QUERIES.glob("*.sql")))


def fact_case(fact: Fact, context: Context) -> Case:
    """The case of a fact; its script runs the catalog queries for the fact's kind."""
    name = f"{fact.subject}: {fact.value}"
    case = Case(id=fact.id, area=AREA, object=fact.object, name=name)
    comments = (
        f"{fact.object}, {name}",
        f"The row to look for: kind {fact.kind}, name {fact.name or 'empty'}",
    )
    return (
        _scripted(case, queries, fact.object, comments, context)
        if (queries := queries_of(fact.kind))
        else case
    )


def with_script(case: Case, query: Path, name: str, context: Context) -> Case:
    """A case with a script that runs a query file for the object `name`; the shared opening goes to
    the context.
    """
    return _scripted(case, (query,), name, (f"{case.object}: {case.name}",), context)


@cache
def queries_of(kind: str) -> tuple[Path, ...]:
    """The query files whose text contains this kind, so that they are known without a row."""
    texts = {path: sql_file(path).text for path in _queries()}
    for forms in ((f"'{kind}' as kind", f"'{kind}',"), (f"'{kind}'",)):
        found = [path for path, text in texts.items() if _has(text, forms)]
        if found:
            return tuple(found)
    return ()


def _has(text: str, forms: Sequence[str]) -> bool:
    return any(form in text for form in forms)


def _scripted(
    case: Case, queries: tuple[Path, ...], name: str, comments: tuple[str, ...], context: Context
) -> Case:
    key = _preamble_key(queries)
    context.preambles[key] = _preamble(queries)
    return replace(case, script=partial(_script, queries, name, comments), preamble=key)


def _script(queries: tuple[Path, ...], name: str, comments: tuple[str, ...]) -> str:
    return script.probe(comments, "", _executes(queries, name)) + _ending(queries)


@cache
def _preamble(queries: tuple[Path, ...]) -> str:
    """The part that all scripts of these queries share: each query, prepared."""
    prepares = "\n".join(
        f"prepare {_statement_name(query)} (text[]) as\n{script.filled(sql_file(query).text, None)}"
        for query in queries
    )
    return (
        script.preamble(f"The catalog query of verify: {_preamble_key(queries)}.") + prepares + "\n"
    )


@cache
def _executes(queries: tuple[Path, ...], name: str) -> str:
    (names,) = script.quoted({"names": [name]}).values()
    return ";\n".join(f"execute {_statement_name(query)} ({names})" for query in queries)


@cache
def _ending(queries: tuple[Path, ...]) -> str:
    """The statements after the rollback, which keeps prepared statements."""
    return "".join(f"deallocate {_statement_name(query)};\n" for query in queries)


def _statement_name(query: Path) -> str:
    return f"supabase_jobs_{query.stem}"


@cache
def _preamble_key(queries: tuple[Path, ...]) -> str:
    return " and ".join(f"{query.parent.name}/{query.name}" for query in queries)
