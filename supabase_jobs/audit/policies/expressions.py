"""The comparisons in expressions of policies and functions, from their parse trees.

An expression is known here as its value if it was read from the request (`Claim`, `Header`), a
column as `Reference`, and one that a function of the project selects as `Selected`. Anything else
has no meaning to this module.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
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


@dataclass(frozen=True)
class Claim:
    """A value of the JWT: `("app_metadata", "org_id")`; `("sub",)` is the user's id, `()` all
    claims. `otherwise` are the paths of the values that COALESCE takes if there is none.
    """

    path: tuple[str, ...]
    otherwise: tuple[tuple[str, ...], ...] = ()

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """The path, and those of the other values."""
        return (self.path, *self.otherwise)


@dataclass(frozen=True)
class Header:
    """A header of the request, in lower case; None for all headers. `hashing` are functions applied
    to its value.

    They are hashes such as sha256, md5 (a text), md5 digest (bytes), and the encodings hex and
    base64.
    """

    name: str | None
    hashing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A column; `table` is the name or alias that the expression gives, or None."""

    table: str | None
    column: str


@dataclass(frozen=True)
class Literal:
    """A constant as text."""

    text: str


@dataclass(frozen=True)
class Selected:
    """A column that a function of the project selects, such as the role of the caller."""

    table: str
    column: str


@dataclass(frozen=True)
class Operation:
    """The operation of a request to Storage, such as `storage.object.list`."""


@dataclass(frozen=True)
class Now:
    """The time of the request, or its day; `beside`: an interval is added to it, or subtracted.
    `distance` is that interval; None if it is no constant.
    """

    beside: str = ""
    distance: timedelta | None = None


Value = Claim | Header | Now | Operation | Reference | Literal | Selected
USER_ID, NOW = Claim(("sub",)), Now()
# the step in the path of a claim that is an array, to each of its elements
EACH = "[]"
# the claims that users choose themselves
CHOSEN = "user_metadata"
# the operators of comparisons with null, as the parser names them
IS_NULL, IS_NOT_NULL = "IS_NULL", "IS_NOT_NULL"
# that of a column with a value of the request, which null satisfies if the request lacks the value
BOTH_NULL = "BOTH_NULL"
# IS [NOT] DISTINCT FROM; the server prints the latter as the negation of the former
_DISTINCT = ("AEXPR_DISTINCT", "AEXPR_NOT_DISTINCT")

# functions that leave a value as it is, for a comparison
TRANSPARENT = {
    "nullif",
    "lower",
    "upper",
    "trim",
    "btrim",
    "coalesce",
    "to_jsonb",
    "any",
    "convert_to",
}
# those that return each element of an array
ELEMENTS = {
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "json_array_elements",
    "json_array_elements_text",
}
# hashes under which keys are stored
_DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
_ENCODINGS = ("hex", "base64")
_HASHING = {"digest", "encode", "md5", "sha224", "sha256", "sha384", "sha512"}
_PLATFORM: Mapping[tuple[str, ...], Claim | Now | Operation] = {
    ("auth", "uid"): USER_ID,
    ("auth", "email"): Claim(("email",)),
    ("auth", "role"): Claim(("role",)),
    ("auth", "jwt"): Claim(()),
    ("storage", "operation"): Operation(),
    ("now",): NOW,
    ("pg_catalog", "now"): NOW,
}
# the names of the time and the day in SQL, as the parser has them
_TIMES = ("SVFOP_CURRENT_TIMESTAMP", "SVFOP_CURRENT_DATE")
# the parts of an interval; of a month and a year, the longest
_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=31),
    "year": timedelta(days=366),
}
_UNIT = re.compile(rf"(\d+)\s*({'|'.join(_UNITS)})", re.IGNORECASE)
# the operators by which an array of JSON contains a text
_CONTAINING = ("?", "?|", "?&")
# of comparisons, and of those that order values
ORDERING = ("<", "<=", ">", ">=")
OPERATORS = {"=", "<>", *ORDERING}

# schema, name → the value that a function of the project returns, if it only reads the request, or
# selects a column
Lookup = Callable[[tuple[str, ...]], Value | None]


def _nothing(_name: tuple[str, ...]) -> Value | None:
    return None


@dataclass(frozen=True)
class Comparison:
    """Two values that an expression compares; `operator` is `=`, `<`, …, IS_NULL, IS_NOT_NULL or
    BOTH_NULL.

    `scopes` maps aliases to tables.
    """

    left: Value
    operator: str
    right: Value
    scopes: Mapping[str, str] = field(default_factory=dict)

    @property
    def both_ways(self) -> tuple[tuple[Value, Value], tuple[Value, Value]]:
        """Each side with the other one."""
        return (self.left, self.right), (self.right, self.left)


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


def value(node: Any, lookup: Lookup = _nothing) -> Value | None:
    """The meaning of an expression, if it is a column, a constant, or read from the request."""
    if not isinstance(node, dict) or not node:
        return None
    kind, fields = next(iter(node.items()))
    match kind:
        case "TypeCast":
            return value(fields["arg"], lookup)
        case "CoalesceExpr":
            return _first([value(arg, lookup) for arg in fields["args"]])
        case "SubLink" if fields.get("subLinkType") == "EXPR_SUBLINK":
            select = fields["subselect"].get("SelectStmt", {})
            targets = select.get("targetList", [])
            return (
                value(targets[0]["ResTarget"]["val"], lookup)
                if len(targets) == 1 and "fromClause" not in select
                else None
            )
        case "ColumnRef":
            names = [part["String"]["sval"] for part in fields["fields"] if "String" in part]
            if not names:
                return None
            return Reference(names[-2] if len(names) > 1 else None, names[-1])
        case "ParamRef":
            return Reference(None, f"${fields['number']}")
        case "A_Const":
            return _literal(fields)
        case "A_Expr":
            return _member(fields, lookup)
        case "FuncCall":
            return _call(fields, lookup)
        case "SQLValueFunction" if fields.get("op") in _TIMES:
            return NOW
    return None


def _first(values: Sequence[Value | None]) -> Value | None:
    """The first value that is known. A claim has the others which its user, or the user of another
    one, chooses.
    """
    known = [found for found in values if found is not None]
    if not known or not isinstance(known[0], Claim) or known[0] == USER_ID:
        return known[0] if known else None
    claims = [path for claim in known if isinstance(claim, Claim) for path in claim.paths]
    paths = list(dict.fromkeys(claims))
    is_chosen = any(path[:1] == (CHOSEN,) for path in paths)
    return Claim(paths[0], tuple(paths[1:])) if is_chosen else known[0]


def always_true(tree: Any, role: str) -> bool:
    """Whether an expression is true for every row, for a signed-in user or anon: `true`,
    `auth.uid() is not null`, …
    """
    if not isinstance(tree, dict) or not tree:
        return False
    kind, fields = next(iter(tree.items()))
    if kind == "BoolExpr":
        parts = [always_true(arg, role) for arg in fields["args"]]
        return {"AND_EXPR": all(parts), "OR_EXPR": any(parts)}.get(fields["boolop"], False)
    if kind == "NullTest":
        return (
            fields["nulltesttype"] == "IS_NOT_NULL"
            and value(fields["arg"]) == USER_ID
            and role != "anon"
        )
    if (
        kind == "A_Expr"
        and fields.get("kind") == "AEXPR_OP"
        and fields["name"][-1]["String"]["sval"] == "="
    ):
        sides = (value(fields.get("lexpr")), value(fields.get("rexpr")))
        return Claim(("role",)) in sides and Literal(role) in sides
    return value(tree) == Literal("true")


def never_true(tree: Any, role: str) -> bool:
    """Whether an expression is true for no row of a role: `false`, a comparison with NULL, or one
    with another role or, for anon, with the user's id.
    """
    if not isinstance(tree, dict) or not tree:
        return False
    kind, fields = next(iter(tree.items()))
    if kind == "BoolExpr":
        parts = [never_true(arg, role) for arg in fields["args"]]
        return {"AND_EXPR": any(parts), "OR_EXPR": all(parts)}.get(fields["boolop"], False)
    if kind == "A_Expr" and fields.get("kind") == "AEXPR_OP":
        operands_ = (fields.get("lexpr"), fields.get("rexpr"))
        sides = tuple(map(value, operands_))
        operator = fields["name"][-1]["String"]["sval"]
        if operator in OPERATORS and (
            any(map(_is_null, operands_)) or (role == "anon" and USER_ID in sides)
        ):
            return True
        literals = [side for side in sides if isinstance(side, Literal)]
        is_equal = operator == "="
        return is_equal and Claim(("role",)) in sides and literals not in ([], [Literal(role)])
    return value(tree) == Literal("false")


def _is_null(node: Any) -> bool:
    """Whether a node is the constant NULL."""
    while isinstance(node, dict) and "TypeCast" in node:
        node = node["TypeCast"]["arg"]
    return isinstance(node, dict) and bool(node.get("A_Const", {}).get("isnull"))


def excludes(tree: Any) -> bool:
    """Whether an expression only names rows that are left out: `not blocked(author_id)`."""
    return isinstance(tree, dict) and tree.get("BoolExpr", {}).get("boolop") == "NOT_EXPR"


def _literal(constant: Node) -> Literal | None:
    for key, part in constant.items():
        if key in ("sval", "fval") and isinstance(part, dict):
            return Literal(str(next(iter(part.values()), "")))
        if key == "ival":
            return Literal(str(part.get("ival", 0)))
        if key == "boolval":
            return Literal("true" if part.get("boolval") else "false")
    return None


def _member(fields: Node, lookup: Lookup) -> Value | None:
    """`x -> 'name'`, `x ->> 'name'` and `x #>> '{a,b}'` of claims or headers; `nullif(x, '')`."""
    if fields.get("kind") == "AEXPR_NULLIF":
        return value(fields["lexpr"], lookup)
    if fields.get("kind") != "AEXPR_OP":
        return None
    operator = fields["name"][-1]["String"]["sval"]
    if operator in ("+", "-") and value(fields.get("lexpr"), lookup) == NOW:
        return Now(beside=operator, distance=_interval(fields["rexpr"]))
    if operator not in ("->", "->>", "#>", "#>>") or "lexpr" not in fields:
        return None
    left, right = value(fields["lexpr"], lookup), value(fields["rexpr"], lookup)
    if not isinstance(right, Literal):
        return None
    names = tuple(right.text.strip("{}").split(",")) if operator.startswith("#") else (right.text,)
    if isinstance(left, Claim):
        return Claim(left.path + names, tuple(path + names for path in left.otherwise))
    if isinstance(left, Header) and left.name is None:
        return Header(names[0].lower())
    return None


def _interval(node: Node) -> timedelta | None:
    """The length of a constant interval such as '2 days', or of a number of days."""
    constant = value(node)
    if not isinstance(constant, Literal):
        return None
    if constant.text.isdigit():
        return timedelta(days=int(constant.text))
    parts = _UNIT.findall(constant.text)
    return sum((int(n) * _UNITS[unit.lower()] for n, unit in parts), timedelta()) if parts else None


def _call(fields: Node, lookup: Lookup) -> Value | None:
    name = name_of(fields)
    if name in _PLATFORM:
        return _PLATFORM[name]
    arguments = fields.get("args", [])
    if name[-1] == "current_setting" and arguments:
        setting = value(arguments[0])
        text = setting.text if isinstance(setting, Literal) else ""
        if text == "request.jwt.claims":
            return Claim(())
        if text.startswith("request.jwt.claim."):
            return Claim((text.removeprefix("request.jwt.claim."),))
        return Header(None) if text == "request.headers" else None
    if name[-1] in ("json_extract_path_text", "jsonb_extract_path_text") and len(arguments) > 1:
        root, names = value(arguments[0], lookup), [value(a) for a in arguments[1:]]
        if isinstance(root, Claim) and all(isinstance(n, Literal) for n in names):
            return Claim(root.path + tuple(n.text for n in names if isinstance(n, Literal)))
    if name[-1] in ELEMENTS and arguments:
        array = value(arguments[0], lookup)
        return Claim((*array.path, EACH)) if isinstance(array, Claim) and array.path else None
    if name[-1] in TRANSPARENT and arguments:
        return value(arguments[0], lookup)
    if name[-1] in _HASHING and arguments:
        return _hashed(name[-1], [value(a, lookup) for a in arguments])
    return lookup(name)


def _hashed(function: str, arguments: Sequence[Value | None]) -> Header | None:
    """A header after a hash or an encoding of its hash."""
    header, *others = arguments
    if not isinstance(header, Header) or header.name is None:
        return None
    step = function
    if function in ("digest", "encode"):
        step = others[0].text.lower() if others and isinstance(others[0], Literal) else ""
        if step not in (_DIGESTS if function == "digest" else _ENCODINGS):
            return None
        step = f"md5 {function}" if step == "md5" else step
    return Header(header.name, (*header.hashing, step))


def hashed(text: str, hashing: Sequence[str]) -> str:
    """The text of a column whose value is a hash of a header's value."""
    found: str | bytes = text
    for step in hashing:
        data = found.encode() if isinstance(found, str) else found
        if step == "hex":
            found = data.hex()
        elif step == "base64":
            found = b64encode(data).decode()
        elif step == "md5":
            found = hashlib.new("md5", data, usedforsecurity=False).hexdigest()
        else:
            found = hashlib.new(step.partition(" ")[0], data, usedforsecurity=False).digest()
    return found if isinstance(found, str) else rf"\x{found.hex()}"


def request_values(tree: Any) -> set[Claim | Header]:
    """The claims and headers that a tree reads, anywhere in it; not the documents of all claims or
    headers.
    """
    if isinstance(tree, list):
        return {found for part in tree for found in request_values(part)}
    if not isinstance(tree, dict):
        return set()
    own = value(tree) if len(tree) == 1 else None
    if (isinstance(own, Claim) and own.path) or (isinstance(own, Header) and own.name):
        return {own}
    return {found for part in tree.values() for found in request_values(part)}


def comparisons(
    tree: Any, lookup: Lookup = _nothing, scopes: Mapping[str, str] | None = None
) -> Iterator[Comparison]:
    """Every comparison of two known values, anywhere in a tree, subqueries included; `column is
    [not] null` too.
    """
    scopes = scopes or {}
    if isinstance(tree, list):
        for part in tree:
            yield from comparisons(part, lookup, scopes)
        return
    if not isinstance(tree, dict):
        return
    if "fromClause" in tree:  # of a SELECT, which may be an operand of UNION
        scopes = {**scopes, **_tables(tree["fromClause"])}
    for kind in ("UpdateStmt", "DeleteStmt"):
        if kind in tree:
            scopes = {**scopes, **tables_of(tree[kind])}
    expression = tree.get("A_Expr")
    if isinstance(expression, dict) and "lexpr" in expression and "rexpr" in expression:
        yield from _compared(expression, lookup, scopes)
    test = tree.get("NullTest")
    if isinstance(test, dict):
        tested = value(test["arg"], lookup)
        if isinstance(tested, Reference):
            yield Comparison(tested, test["nulltesttype"], Literal(""), scopes)
    link = tree.get("SubLink")
    if isinstance(link, dict) and link.get("subLinkType") == "ANY_SUBLINK" and "testexpr" in link:
        yield from _in_subquery(link, lookup, scopes)
    for part in tree.values():
        yield from comparisons(part, lookup, scopes)


def _compared(fields: Node, lookup: Lookup, scopes: Mapping[str, str]) -> Iterator[Comparison]:
    operator = fields["name"][-1]["String"]["sval"]
    left = value(fields["lexpr"], lookup)
    if left is not None and fields.get("kind") == "AEXPR_BETWEEN":
        for order, node in zip((">=", "<="), elements(fields["rexpr"]), strict=True):
            bound = value(node, lookup)
            if bound is not None:
                yield Comparison(left, order, bound, scopes)
    if operator in _CONTAINING and isinstance(left, Claim) and left.path:
        yield from _contained(left, fields["rexpr"], lookup, scopes)
    if left is None or operator not in OPERATORS or fields.get("kind") == "AEXPR_NULLIF":
        return
    right = fields["rexpr"]
    is_distinct = fields.get("kind") in _DISTINCT
    for node in elements(right):
        other = value(node, lookup)
        if other is not None:
            yield Comparison(left, operator, other, scopes)
        for side, given in ((left, other), (other, left)):
            if not isinstance(given, Claim | Header | Reference):
                continue
            if is_distinct and isinstance(side, Reference):
                yield Comparison(side, BOTH_NULL, given, scopes)


def _contained(
    claim: Claim, node: Any, lookup: Lookup, scopes: Mapping[str, str]
) -> Iterator[Comparison]:
    """`claim ? x`: x is an element of an array, or a key of an object."""
    for element in elements(node):
        other = value(element, lookup)
        if other is not None:
            yield Comparison(Claim((*claim.path, EACH)), "=", other, scopes)


def _in_subquery(link: Node, lookup: Lookup, scopes: Mapping[str, str]) -> Iterator[Comparison]:
    """`x in (select y from …)`: x is a column of the outer query."""
    select = link["subselect"].get("SelectStmt", {})
    left = value(link["testexpr"], lookup)
    targets = select.get("targetList", [])
    if left is not None and len(targets) == 1:
        right = value(targets[0]["ResTarget"]["val"], lookup)
        inner = _tables(select.get("fromClause"))
        if isinstance(right, Reference) and right.table is None and len(inner) == 1:
            right = Reference(next(iter(inner.values())), right.column)
        elif isinstance(right, Reference) and right.table in inner:
            right = Reference(inner[right.table], right.column)
        else:
            scopes = {**scopes, **inner}
        if right is not None:
            yield Comparison(left, "=", right, scopes)


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


def _tables(clause: Any) -> dict[str, str]:
    """Alias or name → table name, of a FROM clause."""
    found: dict[str, str] = {}
    if isinstance(clause, list):
        for part in clause:
            found |= _tables(part)
    elif isinstance(clause, dict):
        if "RangeVar" in clause:
            variable = clause["RangeVar"]
            name = variable["relname"]
            label = f"{variable['schemaname']}.{name}" if "schemaname" in variable else name
            found[variable.get("alias", {}).get("aliasname", name)] = label
        else:
            for part in clause.values():
                found |= _tables(part)
    return found


def aliases(tree: Any) -> dict[str, str]:
    """Alias or name → table name, of all queries of a tree."""
    return _tables([{"RangeVar": variable} for variable in nodes(tree, "RangeVar")])


def tables_of(statement: Node) -> dict[str, str]:
    """Alias or name → table name, of a query, an UPDATE or a DELETE."""
    clauses = [statement[name] for name in ("fromClause", "usingClause") if name in statement]
    changed = [{"RangeVar": statement["relation"]}] if "relation" in statement else []
    return _tables([*clauses, *changed])


def plain(select: Node) -> Iterator[Reference]:
    """The columns that a SELECT returns as they are."""
    for target in select.get("targetList", []):
        column = value(target.get("ResTarget", {}).get("val"))
        if isinstance(column, Reference):
            yield column


def conditional(select: Node) -> Iterator[Reference]:
    """The columns that a SELECT returns on a condition about something else, and otherwise a
    constant: CASE WHEN … THEN a column END.
    """
    for target in select.get("targetList", []):
        case = target.get("ResTarget", {}).get("val", {}).get("CaseExpr")
        if not isinstance(case, dict) or "arg" in case:
            continue
        whens = [one["CaseWhen"] for one in case["args"]]
        results = [one["result"] for one in whens]
        results += [case["defresult"]] if "defresult" in case else []
        columns = [one for one in map(value, results) if isinstance(one, Reference)]
        constants = [one for one in results if "A_Const" in one]
        tested = {named.column for one in whens for named in references(one["expr"])}
        is_mask = len(columns) + len(constants) == len(results)
        is_mask &= "defresult" not in case or bool(constants)
        if is_mask:
            yield from (column for column in columns if column.column not in tested)


def references(tree: Any) -> Iterator[Reference]:
    """Every column that a tree names."""
    for fields in nodes(tree, "ColumnRef"):
        named = value({"ColumnRef": fields})
        if isinstance(named, Reference):
            yield named


def recursions(tree: Any) -> Iterator[tuple[Node, Node]]:
    """The two parts of each recursive query: where it begins, and how it goes on."""
    for query in nodes(tree, "CommonTableExpr"):
        select = query["ctequery"].get("SelectStmt", {})
        parts = select.get("larg"), select.get("rarg")
        if all(parts) and query["ctename"] in tables(parts[1]):
            yield parts


def denying(tree: Any) -> set[str]:
    """The tables of queries whose rows an expression demands to be absent: NOT EXISTS, NOT IN."""
    found = set[str]()
    for negation in nodes(tree, "BoolExpr"):
        argument = negation["args"][0] if negation["boolop"] == "NOT_EXPR" else {}
        if "SubLink" in argument:
            found |= tables(argument["SubLink"]["subselect"])
    return found


def selected(tree: Any) -> Selected | None:
    """The column that a SELECT of only one reads from a table, directly or in a subquery."""
    select = tree.get("SelectStmt", {})
    targets = select.get("targetList", [])
    if len(targets) != 1:
        return None
    target = targets[0].get("ResTarget", {}).get("val", {})
    if "fromClause" not in select:
        return selected(target.get("SubLink", {}).get("subselect", {}))
    column, scopes = value(target), _tables(select["fromClause"])
    if not isinstance(column, Reference):
        return None
    if column.table is None and len(scopes) == 1:
        return Selected(next(iter(scopes.values())), column.column)
    table = scopes.get(column.table or "")
    return None if table is None else Selected(table, column.column)


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


def inserted(
    tree: Any, columns_of: Callable[[str], Sequence[str]]
) -> Iterator[tuple[str, str, Node]]:
    """The table, the column and the expression of each value that a tree inserts in a first row.
    `columns_of` gives all columns of a table, for an INSERT that names none.
    """
    for statement in nodes(tree, "InsertStmt"):
        select = statement.get("selectStmt", {}).get("SelectStmt", {})
        if "valuesLists" in select:
            values = list(select["valuesLists"][0]["List"]["items"])
        else:
            values = [target["ResTarget"]["val"] for target in select.get("targetList", [])]
        [label] = _tables({"RangeVar": {**statement["relation"], "alias": {}}}).values()
        named = [target["ResTarget"]["name"] for target in statement.get("cols", [])]
        names = named or columns_of(label)
        for name, expression in zip(names, values, strict=False):
            yield label, name, expression


def filled(tree: Any) -> set[str]:
    """The tables to which a tree adds rows."""
    found = [statement["relation"] for statement in nodes(tree, "InsertStmt")]
    tables_ = [_tables({"RangeVar": {**relation, "alias": {}}}) for relation in found]
    return {label for names in tables_ for label in names.values()}


def updated(tree: Any) -> Iterator[tuple[str, str]]:
    """The table and the column of each value that a tree sets by UPDATE."""
    for label, column, _ in assigned(tree):
        yield label, column


def assigned(tree: Any) -> Iterator[tuple[str, str, Node]]:
    """The table, the column and the expression of each value that a tree sets by UPDATE."""
    for statement in nodes(tree, "UpdateStmt"):
        [label] = _tables({"RangeVar": {**statement["relation"], "alias": {}}}).values()
        for target in statement.get("targetList", []):
            yield label, target["ResTarget"]["name"], target["ResTarget"].get("val", {})


def is_taken_from(node: Node, column: str) -> bool:
    """Whether the new value of a column is the old one, less something."""
    fields = node.get("A_Expr", {})
    is_minus = bool(fields) and fields["name"][-1]["String"]["sval"] == "-"
    old = value(fields["lexpr"]) if is_minus and "lexpr" in fields else None
    return isinstance(old, Reference) and old.column == column


def conditions(tree: Any) -> Iterator[Node]:
    """Each query, UPDATE and DELETE of a tree with its tables and its condition only."""
    kept = ("fromClause", "usingClause", "relation", "whereClause")
    for kind in ("SelectStmt", "UpdateStmt", "DeleteStmt"):
        for statement in nodes(tree, kind):
            for part in _operands(statement):
                yield {kind: {name: part[name] for name in kept if name in part}}


def _operands(statement: Node) -> Iterator[Node]:
    """The queries that UNION, INTERSECT or EXCEPT combines; otherwise the statement itself."""
    if "larg" not in statement:
        yield statement
    for name in ("larg", "rarg"):
        yield from _operands(statement[name]) if name in statement else ()


def without_tables(tree: Any) -> Iterator[Node]:
    """Each SELECT of a tree that reads no table, such as the condition of an IF."""
    for statement in nodes(tree, "SelectStmt"):
        if "fromClause" not in statement:
            yield statement


def any_of(tree: Any) -> list[Any]:
    """The operands of OR; the expression itself if it is none."""
    operation = tree.get("BoolExpr", {}) if isinstance(tree, dict) else {}
    if operation.get("boolop") != "OR_EXPR":
        return [tree]
    return [one for operand in operation["args"] for one in any_of(operand)]


def is_distinct(tree: Any) -> bool:
    """Whether an expression is IS DISTINCT FROM."""
    return isinstance(tree, dict) and tree.get("A_Expr", {}).get("kind") == _DISTINCT[0]


def flags(statement: Node) -> Iterator[tuple[Reference, bool]]:
    """The columns that are conditions of a query by themselves, and whether they must be true."""
    left = [statement.get("whereClause")]
    while left:
        node = left.pop() or {}
        operation = node.get("BoolExpr", {})
        left += operation["args"] if operation.get("boolop") == "AND_EXPR" else []
        is_wanted = not excludes(node)
        column = value(node if is_wanted else operation["args"][0])
        if isinstance(column, Reference):
            yield column, is_wanted


def name_of(call: Node) -> tuple[str, ...]:
    """The name of the function that a call names, with its schema if that is given."""
    return tuple(part["String"]["sval"] for part in call["funcname"])


def returned(body: Any) -> Node | None:
    """The expression that the last SELECT of a body returns without a table; None if there is
    none.
    """
    found = None
    for tree in body:
        select = tree.get("SelectStmt", {})
        targets = select.get("targetList", [])
        if len(targets) == 1 and "fromClause" not in select:
            found = targets[0].get("ResTarget", {}).get("val")
    return found


def applied(tree: Any, arguments: Mapping[str, Node], function: str) -> Any:
    """The body of a function with expressions in place of its arguments, by their names and by
    positions such as $1.
    """
    if isinstance(tree, list):
        return [applied(part, arguments, function) for part in tree]
    if not isinstance(tree, dict):
        return tree
    named = value(tree) if tree.keys() <= {"ColumnRef", "ParamRef"} else None
    if isinstance(named, Reference) and named.table in (None, function):
        return arguments.get(named.column, tree)
    return {name: applied(part, arguments, function) for name, part in tree.items()}


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


def patterns(tree: Any) -> Iterator[Reference]:
    """The columns and arguments that LIKE takes as a pattern."""
    for node in nodes(tree, "A_Expr"):
        if node.get("kind") in ("AEXPR_LIKE", "AEXPR_ILIKE"):
            found = value(node.get("rexpr"))
            if isinstance(found, Reference):
                yield found


def calls(tree: Any) -> set[tuple[str, ...]]:
    """The names of all functions that a tree calls."""
    return {name_of(call) for call in nodes(tree, "FuncCall") if isinstance(call, dict)}


def operands(text: str, operator: str) -> list[str]:
    """The operands of AND or OR, as the server prints an expression, or `alternatives`: each in
    parentheses of its own, or a call. The expression itself if another operator is its outermost
    one.
    """
    return [*_split(text, operator)]


@lru_cache(maxsize=4096)  # each trial of a repair asks about the conditions of all other policies
def _split(text: str, operator: str) -> tuple[str, ...]:
    inner = text.strip()
    while _is_enclosed(inner):
        inner = inner[1:-1].strip()
    found, start = list[str](), 0
    written = f" {operator} ", f" {operator.lower()} "
    for at, depth in outside_quotes(inner):
        if depth == 0 and inner.startswith(written, at):
            found.append(inner[start:at].strip())
            start = at + len(operator) + 2
    return *found, inner[start:].strip()


def alternatives(text: str, limit: int) -> list[str]:
    """The conditions each of which suffices for an expression: the operands of OR, also of one
    below AND. The expression itself if they are more than the limit.
    """
    parts = operands(text, "OR")
    if len(parts) > 1:
        found = [one for part in parts for one in alternatives(part, limit)]
        return list(dict.fromkeys(found)) if len(found) <= limit else [text]
    found = [""]
    for part in operands(text, "AND"):
        inner = operands(part, "OR")
        each = alternatives(part, limit) if len(inner) > 1 else [part]
        found = [f"{one} and ({other})".removeprefix(" and ") for one in found for other in each]
    return found if 1 < len(found) <= limit else [text]


def _is_enclosed(text: str) -> bool:
    """Whether one pair of parentheses encloses a text."""
    if not text.startswith("("):
        return False
    closed = next((at for at, depth in outside_quotes(text) if at > 0 and depth == 0), None)
    return closed == len(text) - 1


def outside_quotes(text: str) -> Iterator[tuple[int, int]]:
    """The position of each character outside of quotes, and the open parentheses after it."""
    depth, quote = 0, ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
            continue
        if char in "'\"":
            quote = char
            continue
        depth += (char == "(") - (char == ")")
        yield at, depth
