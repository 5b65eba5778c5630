"""The UPDATE and DELETE statements of functions, and functions in which they are limited to rows
with a condition, such as that of their owner.
"""

import re
from collections.abc import Iterator

from supabase_jobs.audit.catalog import Catalog, Function, Relation
from supabase_jobs.audit.policies import parse_trees, printed
from supabase_jobs.database.parser import syntax

_KINDS = ("UpdateStmt", "DeleteStmt")
_WRITE = re.compile(r"\b(?:update|delete)\b", re.IGNORECASE)
_NOT_FOUND = re.compile(r"\bif\s+not\s+found\b", re.IGNORECASE)
# not SELECT … FOR UPDATE
_CHANGE = re.compile(r"\bupdate\b[^;]*?\bset\b|\bdelete\s+from\b", re.IGNORECASE)
_WHERE = re.compile(r"where\b", re.IGNORECASE)


def changed_tables(catalog: Catalog, function: Function) -> list[Relation]:
    """The tables whose rows a function updates or deletes."""
    trees = parse_trees.body_trees(function.language, function.body)
    found = [write["relation"] for kind in _KINDS for write in parse_trees.nodes(trees, kind)]
    changed = []
    for table in catalog.tables:
        if any(_is_named(table, one) for one in found):
            changed.append(table)
    return changed


def goes_on(function: Function) -> bool:
    """Whether a body writes in several statements, and does not ask afterwards whether one has
    found a row: the others are run, although a condition stops one of them.
    """
    trees = parse_trees.body_trees(function.language, function.body)
    found = [write for kind in (*_KINDS, "InsertStmt") for write in parse_trees.nodes(trees, kind)]
    first = _CHANGE.search(function.body)
    start = 0 if first is None else first.end()
    return len(found) > 1 and _NOT_FOUND.search(function.body, start) is None


def limited(function: Function, definition: str, relation: Relation, condition: str) -> str:
    """The statement that defines a function again, which changes only the rows of a table that meet
    a condition; '' if none of its statements can be limited.
    """
    body = function.body
    for start, text in reversed(list(_writes(body))):
        at = _place(text, relation)
        if at is not None:
            at += start
            body = f"{body[:at]} {condition} and{body[at:]}"
    return with_body(function, definition, body)


def with_body(function: Function, definition: str, body: str) -> str:
    """The statement that defines a function again with another body; '' if it is the same."""
    if body == function.body or definition.count(function.body) != 1:
        return ""
    return f"{definition.replace(function.body, body).rstrip().rstrip(';')};"


def _writes(body: str) -> Iterator[tuple[int, str]]:
    """The texts of a body that may be such statements, with their positions."""
    for match in _WRITE.finditer(body):
        text = body[match.start() :]
        places = printed.outside_quotes(text)
        end = next((at for at, depth in places if depth < 0 or text[at] == ";"), len(text))
        yield match.start(), text[:end]


def _place(text: str, relation: Relation) -> int | None:
    """The position behind the WHERE of a statement that changes rows of a table; None if it is
    another statement, or if its condition is an OR.
    """
    trees = syntax.parse(text) or []
    found = [tree[kind] for tree in trees for kind in _KINDS if kind in tree]
    if len(found) != 1 or not _is_named(relation, found[0]["relation"]):
        return None
    condition = found[0].get("whereClause", {})
    if not condition or condition.get("BoolExpr", {}).get("boolop") == "OR_EXPR":
        return None
    places = (at for at, depth in printed.outside_quotes(text) if depth == 0)
    start = next((at for at in places if _WHERE.match(text, at)), None)
    return None if start is None else start + len("where")


def _is_named(relation: Relation, variable: syntax.Node) -> bool:
    schema = variable.get("schemaname", relation.schema)
    return bool((schema, variable["relname"]) == (relation.schema, relation.name))
