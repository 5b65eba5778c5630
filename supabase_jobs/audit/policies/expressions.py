"""The values and comparisons in expressions of policies and functions, from their parse trees.

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
from typing import Any

from supabase_jobs.audit.policies.parse_trees import (
    Node,
    elements,
    name_of,
    scopes_of,
    tables_of,
)


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
class HashStep:
    """A hash such as sha256, or an encoding: hex or base64. The function md5 returns a text."""

    name: str
    is_text: bool = False


@dataclass(frozen=True)
class Header:
    """A header of the request, in lower case; None for all headers. `hashing` are the steps that
    are applied to its value.
    """

    name: str | None
    hashing: tuple[HashStep, ...] = ()


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
# of comparisons, of those that order values, and of those with the lesser one on the left
LESS = ("<", "<=")
ORDERING = (*LESS, ">", ">=")
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
    step = HashStep(function, is_text=function == "md5")
    if function in ("digest", "encode"):
        name = others[0].text.lower() if others and isinstance(others[0], Literal) else ""
        if name not in (_DIGESTS if function == "digest" else _ENCODINGS):
            return None
        step = HashStep(name)
    return Header(header.name, (*header.hashing, step))


def hashed(text: str, hashing: Sequence[HashStep]) -> str:
    """The text of a column whose value is a hash of a header's value."""
    found: str | bytes = text
    for step in hashing:
        data = found.encode() if isinstance(found, str) else found
        if step.name == "hex":
            found = data.hex()
        elif step.name == "base64":
            found = b64encode(data).decode()
        else:
            digest = hashlib.new(step.name, data, usedforsecurity=False)
            found = digest.hexdigest() if step.is_text else digest.digest()
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
        scopes = {**scopes, **scopes_of(tree["fromClause"])}
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
        inner = scopes_of(select.get("fromClause"))
        if isinstance(right, Reference) and right.table is None and len(inner) == 1:
            right = Reference(next(iter(inner.values())), right.column)
        elif isinstance(right, Reference) and right.table in inner:
            right = Reference(inner[right.table], right.column)
        else:
            scopes = {**scopes, **inner}
        if right is not None:
            yield Comparison(left, "=", right, scopes)


def is_distinct(tree: Any) -> bool:
    """Whether an expression is IS DISTINCT FROM."""
    return isinstance(tree, dict) and tree.get("A_Expr", {}).get("kind") == _DISTINCT[0]
