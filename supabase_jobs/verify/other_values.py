"""Other values for the rows of a fixture, where a constraint or trigger of the project refuses the
declared ones.

A declaration names the texts that may be replaced (`other_values`), and by what. For a URL, more
values are derived from the texts of the constraint or trigger: the addresses, hosts and regular
expressions that it compares with.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from supabase_jobs.audit.rows.patterns import matching
from supabase_jobs.database.batch import read
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.verify.context import Context

_REFUSING = sql_file(Path(__file__).with_name("refusing.sql"))

_URL = "https://"
# a statement contains them as they are
_SAFE = re.compile(r"[\w:/.?=&#~+,;@!-]+")
_LITERAL = re.compile(r"(\bE)?'((?:[^']|'')*)'")
_HOST = re.compile(r"[\w-]+(\.[\w-]+)+")
_USUAL_URLS = (
    "https://example.com/verify/",
    "https://www.youtube.com/watch?v=verify",
    "https://example.com/verify/long/" + "0" * 64,
)
_DIGITS = 3  # a number of so many digits follows the text of a URL
_REPEATED = 6

_MAX_RUNS = 4

T = TypeVar("T")
Texts = Mapping[str, str]
_AS_DECLARED: Texts = {}


def refusing(connection: Connection, error: psycopg.Error, managed: Collection[str]) -> list[str]:
    """The texts of the user constraint, index or trigger function that raised an error; none if a
    managed one did.

    `managed` are the managed objects, as `ownership.managed_objects` names them. Queries the
    catalogs, so the transaction must not be in a failed state.
    """
    diag = error.diag
    names = (diag.schema_name, diag.table_name, diag.constraint_name, diag.context)
    statement = _REFUSING.statement(*(name or "" for name in names), list(managed))
    [rows] = read(connection, [statement])
    return [text for (text,) in rows]


def candidates(
    declared: Mapping[str, Sequence[str]], texts: Sequence[str], chosen: Texts
) -> Iterator[Texts]:
    """Texts to replace in the declaration, the likeliest first, in addition to those `chosen`
    before: one, or two of different columns.

    `declared` maps the name of a column (more words may follow) to the text to replace and the
    declared others. Only the
    columns that one of the refusing `texts` names are tried.
    """
    columns = choices(declared, texts)
    for number in (1, 2):
        for several in combinations(columns, number):
            for changed in product(*several):
                yield {**chosen, **dict(changed)}


def choices(
    declared: Mapping[str, Sequence[str]], texts: Sequence[str]
) -> list[list[tuple[str, str]]]:
    """For each declared column that one of the refusing `texts` names, the text to replace with
    each of the others.
    """
    columns: list[list[tuple[str, str]]] = []
    for column, (text, *others) in declared.items():
        name = column.partition(" ")[0]
        if any(re.search(rf"\b{re.escape(name)}\b", refusing) for refusing in texts):
            derived = urls_of(texts) if text.startswith(_URL) else ()
            columns.append([(text, other) for other in dict.fromkeys((*derived, *others))])
    return columns


def until_none_refuses(
    context: Context,
    declared: Mapping[str, Sequence[str]],
    run: Callable[[Context, Texts], None],
) -> None:
    """Run an area; while user objects refuse a part of it, run it again with other values.

    `declared` are those of the area. The attempt with the fewest problems counts.
    """
    before, texts = context.again(), _AS_DECLARED
    run(context, texts)
    attempts = 0
    while context.refusing and not context.repeated:
        for other in candidates(declared, context.refusing, texts):
            attempts += 1
            if attempts > _MAX_RUNS:
                return
            attempt = before.again()
            run(attempt, other)
            if _problems(attempt) < _problems(context):
                context.take(attempt)
                texts = other
                break
        else:
            return


def _problems(context: Context) -> int:
    return sum(finding.severity.is_problem for finding in context.findings)


def replaced(declared: T, texts: Texts) -> T:
    """A declaration in which every text contains the other values; the same object if nothing
    changes.
    """
    if not texts:
        return declared
    result: T = _replaced(declared, texts)
    return result


def of_urls(texts: Texts) -> Texts:
    """The texts that are URLs, with those that replace them."""
    return {text: other for text, other in texts.items() if text.startswith(_URL)}


def _replaced(value: Any, texts: Texts) -> Any:
    if isinstance(value, str):
        for text, other in texts.items():
            value = value.replace(text, other)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(item, texts) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(item, texts) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {
            field.name: _replaced(getattr(value, field.name), texts)
            for field in fields(value)
            if field.init
        }
        changed = {name: item for name, item in changes.items() if item != getattr(value, name)}
        return replace(value, **changed) if changed else value
    return value


def urls_of(texts: Sequence[str]) -> Iterator[str]:
    """Beginnings of URLs that the texts suggest, and usual ones."""
    literals = [
        literal.replace("\\\\", "\\") if escaped else literal
        for text in texts
        for escaped, literal in _LITERAL.findall(text.replace("''", ""))
    ]
    for literal in literals:
        yield from filter(_SAFE.fullmatch, _from_literal(literal))
    yield from _USUAL_URLS


def _from_literal(literal: str) -> Iterator[str]:
    """Beginnings of URLs that may match a pattern of LIKE, a host, an address, or a regular
    expression.
    """
    if re.search(r"[\\^$(\[+*?|]", literal.removeprefix(_URL)):
        # with SIMILAR TO, a % stands for any text, and a dot for itself
        if "%" in literal:
            literal = literal.replace(".", r"\.").replace("%", "")
        sample = matching(literal, repeated=_REPEATED)
        if sample.startswith(("http://", _URL)):
            yield from (sample[:-_DIGITS], sample, f"{sample}/")
            sample = sample.partition("//")[2]
    else:
        sample = literal
    sample = re.sub(r"(?<=//)%\.", "www.", sample).replace("%", "").strip("/.")
    if sample.startswith(("http://", _URL)):
        yield from (sample + "/", sample)
    elif _HOST.match(sample):
        yield from (f"{_URL}{sample}/verify/", f"{_URL}www.{sample}/verify/", f"{_URL}{sample}")
