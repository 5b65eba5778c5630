"""The catalog queries as scripts: which file answers for a kind of fact, with the names of one object filled in.

The query is prepared and executed with the names that the area gives it, so that it stands in the script to the
letter, and what a person sees is what was asked.
"""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from supabase_jobs.database import prepare
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case
from supabase_jobs.verify import script
from supabase_jobs.verify.context import Context

if TYPE_CHECKING:
    from supabase_jobs.verify.structure.snapshot import Fact

_QUERIES = Path(__file__).parent / "queries"
_VERIFY = Path(__file__).parents[1]
_BODIES = Path(__file__).with_name("bodies.sql")


def ask(connection: Connection, names: Sequence[str], *, repeated: bool) -> list[tuple[Any, ...]]:
    """The rows of all catalog queries about some names, in one round trip; `repeated` ones have to be `prepared`."""
    paths = _queries()
    with connection.pipeline():
        if repeated:
            asked = [connection.execute(statement) for statement in _executing(tuple(names))]
        else:
            asked = [sql_file(path).execute(connection, [list(names)]) for path in paths]
    return [row for cursor in asked for row in cursor.fetchall()]


def prepared(connection: Connection) -> AbstractContextManager[None]:
    """Prepare the catalog queries for one transaction, which has to be open: they take longer to plan than to run."""
    named = zip(_prepared(_queries()), _queries(), strict=True)
    return prepare.prepared(connection, {name: sql_file(path).text.encode() for name, path in named}, " (text[])")


@lru_cache(maxsize=4)
def _executing(names: tuple[str, ...]) -> list[bytes]:
    execute, about = sql.SQL("execute {} ({})"), sql.Literal(list(names))
    return [execute.format(sql.Identifier(name), about).as_bytes(None) for name in _prepared(_queries())]


@cache
def _queries() -> tuple[Path, ...]:
    return tuple(sorted(_QUERIES.glob("*.sql")))


@cache
def files_of(kind: str) -> tuple[Path, ...]:
    """The queries whose rows can have this kind, told from their texts: so that they are known where no row is, too."""
    mention = re.compile(rf"'{re.escape(kind)}'(?: as kind|,)")
    texts = {path: sql_file(path).text for path in _queries()}
    found = [path for path, text in texts.items() if mention.search(text)]
    return tuple(found or [path for path, text in texts.items() if f"'{kind}'" in text])


@cache
def _opening(queries: tuple[Path, ...]) -> str:
    """The part of the scripts that every question to these queries shares."""
    prepared = "\n".join(
        f"prepare {name} (text[]) as\n{script.filled(sql_file(query).text, None)}"
        for name, query in zip(_prepared(queries), queries, strict=True)
    )
    return script.preamble(f"{_key(queries)}: what verify asks the catalogs.") + prepared + "\n"


@cache
def _ending(queries: tuple[Path, ...]) -> str:
    """After the rollback, which does not undo a prepare."""
    return "".join(f"deallocate {name};\n" for name in _prepared(queries))


def _prepared(queries: tuple[Path, ...]) -> list[str]:
    return [f"supabase_jobs_{query.stem}" for query in queries]


@cache
def _key(queries: tuple[Path, ...]) -> str:
    return " and ".join(f"{query.parent.name}/{query.name}" for query in queries)


def case(fact: "Fact", result: Context) -> Case:
    """The case of a fact, with the script that shows it; its opening goes to the others."""
    name = f"{fact.subject}: {fact.value}"
    bare = Case(fact.id, fact.id.partition(":")[0], fact.object, name)
    about = (f"{fact.object}, {name}", f"The row to look for: kind {fact.kind}, name {fact.name or 'empty'}")
    return _asked(bare, queries, fact.object, about, result) if (queries := files_of(fact.kind)) else bare


def definition(bare: Case, function: str, result: Context) -> Case:
    """A case about how a function is defined, with the script that shows its definition."""
    return _asked(bare, (_BODIES,), function, (f"{bare.object}: {bare.name}",), result)


def scope(bare: Case, query: str, name: str, result: Context) -> Case:
    """A case that a query file, named from `verify/`, answers, with the script that asks it about an object."""
    return _asked(bare, (_VERIFY / query,), name, (f"{bare.object}: {bare.name}",), result)


def _asked(bare: Case, queries: tuple[Path, ...], name: str, about: tuple[str, ...], result: Context) -> Case:
    key = _key(queries)
    result.preambles[key] = _opening(queries)
    return replace(bare, script=script.probe(about, "", _executed(queries, name)) + _ending(queries), preamble=key)


@cache
def _executed(queries: tuple[Path, ...], name: str) -> str:
    (names,) = script.quoted({"names": [name]}).values()
    return ";\n".join(f"execute {prepared} ({names})" for prepared in _prepared(queries))
