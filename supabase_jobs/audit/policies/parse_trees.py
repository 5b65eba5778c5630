"""Parse trees of expressions and bodies: their nodes, and the names of tables and functions."""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any

from supabase_jobs.database.parser import syntax

Node = dict[str, Any]


class Trees(list[Any]):
    """Parse trees of which many questions are asked, so that their nodes are found by kind. Nobody
    changes them.
    """

    @cached_property
    def by_kind(self) -> Mapping[str, list[Node]]:
        """Kind → its nodes, the outer ones first."""
        return _by_kind(self)


class Tree(Node):
    """One parse tree of which many questions are asked."""

    @cached_property
    def by_kind(self) -> Mapping[str, list[Node]]:
        """Kind → its nodes, the outer ones first."""
        return _by_kind([self])


def _by_kind(trees: list[Any]) -> Mapping[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    left: list[Any] = trees[::-1]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            for kind, node in part.items():
                if isinstance(node, dict):
                    found.setdefault(kind, []).append(node)
            left += [inner for inner in part.values() if isinstance(inner, dict | list)][::-1]
        elif isinstance(part, list):
            left += part[::-1]
    return found


@lru_cache(maxsize=4096)
def expression_tree(text: str) -> Any:
    """The parse tree of an expression, or None if it cannot be parsed."""
    trees = syntax.parse(f"select {text}") or [{}]
    targets = trees[0].get("SelectStmt", {}).get("targetList")
    return Tree(targets[0]["ResTarget"]["val"]) if targets else None


def is_expression(text: str) -> bool:
    """Whether a text is one expression, and nothing besides."""
    trees = syntax.parse(f"select {text}") or []
    if len(trees) != 1 or "SelectStmt" not in trees[0]:
        return False
    select = trees[0]["SelectStmt"]
    targets = select.get("targetList", [])
    clauses = set(select) - {"targetList", "limitOption", "op"}
    return (
        len(targets) == 1
        and "name" not in targets[0]["ResTarget"]
        and not clauses
        and "--" not in text
    )


@lru_cache(maxsize=4096)
def body_trees(language: str, body: str) -> Trees:
    """The parse trees of a function's SQL; of a PL/pgSQL body, those of the statements and
    conditions that parse.
    """
    if language == "sql":
        whole = re.sub(r"^\s*BEGIN ATOMIC|END\s*$", "", body)
        return Trees(syntax.parse(whole) or syntax.parse(body) or [])
    trees: list[Any] = []
    body = re.sub(r"--[^\n]*|/\*.*?\*/", " ", body, flags=re.DOTALL)
    for part in re.split(r";|\bthen\b|\belse\b|\bbegin\b|\bloop\b", body, flags=re.IGNORECASE):
        text = re.sub(
            r"(?<!insert)(?<!\s)\s+into\s+(strict\s+)?[\w.]+(\s*,\s*[\w.]+)*",
            " ",
            part.strip(),
            flags=re.IGNORECASE,
        )
        text = re.sub(r"^\s*(return\s+query|perform)\s+", "", text, flags=re.IGNORECASE)
        text = re.sub(r"^\s*perform\s+", "select ", text, flags=re.IGNORECASE)
        text = re.sub(r"^\s*(return|els?e?if|if|when)\b", "select ", text, flags=re.IGNORECASE)
        text = re.sub(
            r"^[\w.%\[\]\"\s]+:=", "select ", text
        )  # an assignment, or a declaration with its value
        if text:
            trees += syntax.parse(text) or syntax.parse(f"select {text}") or []
    return Trees(trees)


def elements(node: Any) -> list[Any]:
    """The elements of a list or of an array constant; otherwise the node itself."""
    while (
        isinstance(node, dict) and "TypeCast" in node and "A_ArrayExpr" in node["TypeCast"]["arg"]
    ):
        node = node["TypeCast"]["arg"]
    if isinstance(node, dict) and "A_ArrayExpr" in node:
        return list(node["A_ArrayExpr"].get("elements", []))
    if isinstance(node, dict) and "List" in node:
        return list(node["List"]["items"])
    return [node]


def scopes_of(clause: Any) -> dict[str, str]:
    """Alias or name → table name, of a FROM clause."""
    found: dict[str, str] = {}
    if isinstance(clause, list):
        for part in clause:
            found |= scopes_of(part)
    elif isinstance(clause, dict):
        if "RangeVar" in clause:
            variable = clause["RangeVar"]
            name = variable["relname"]
            label = f"{variable['schemaname']}.{name}" if "schemaname" in variable else name
            found[variable.get("alias", {}).get("aliasname", name)] = label
        else:
            for part in clause.values():
                found |= scopes_of(part)
    return found


def aliases(tree: Any) -> dict[str, str]:
    """Alias or name → table name, of all queries of a tree."""
    return scopes_of([{"RangeVar": variable} for variable in nodes(tree, "RangeVar")])


def tables_of(statement: Node) -> dict[str, str]:
    """Alias or name → table name, of a query, an UPDATE or a DELETE."""
    clauses = [statement[name] for name in ("fromClause", "usingClause") if name in statement]
    changed = [{"RangeVar": statement["relation"]}] if "relation" in statement else []
    return scopes_of([*clauses, *changed])


def tables(tree: Any) -> set[str]:
    """The names of all tables that a tree mentions, with their schema where it is given."""
    return {
        f"{variable['schemaname']}.{variable['relname']}"
        if "schemaname" in variable
        else variable["relname"]
        for variable in nodes(tree, "RangeVar")
        if isinstance(variable, dict)
    }


def nodes(tree: Any, kind: str) -> Iterator[Node]:
    """Every node of a kind in a parse tree, the outer ones first."""
    if isinstance(tree, Trees | Tree):
        yield from tree.by_kind.get(kind, ())
    elif isinstance(tree, list):
        for part in tree:
            yield from nodes(part, kind)
    elif isinstance(tree, dict):
        for name, part in tree.items():
            if name == kind:
                yield part
            yield from nodes(part, kind)


def name_of(call: Node) -> tuple[str, ...]:
    """The name of the function that a call names, with its schema if that is given."""
    return tuple(part["String"]["sval"] for part in call["funcname"])


def column_of(table: str, column: str) -> Node:
    """The expression that names a column with its table."""
    return {"ColumnRef": {"fields": [{"String": {"sval": name}} for name in (table, column)]}}


def literals(tree: Any) -> set[str]:
    """The texts of all constants of a tree."""
    if isinstance(tree, list):
        return {text for part in tree for text in literals(part)}
    if not isinstance(tree, dict):
        return set()
    found = {text for part in tree.values() for text in literals(part)}
    text = tree.get("A_Const", {}).get("sval", {}).get("sval")
    return found | ({text} if text else set())


def calls(tree: Any) -> set[tuple[str, ...]]:
    """The names of all functions that a tree calls."""
    return {name_of(call) for call in nodes(tree, "FuncCall") if isinstance(call, dict)}
