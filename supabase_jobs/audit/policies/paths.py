"""Paths by which policies find their caller: rows of tables, joined to one another and to the row
of the policy, with the values that each must have. Helpers are followed into their bodies.

Each alternative of a condition is a path of its own, so that somebody can be found, or made, who
passes by it alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.expressions import (
    EACH,
    IS_NOT_NULL,
    IS_NULL,
    USER_ID,
    Claim,
    Literal,
    Now,
)
from supabase_jobs.audit.policies.parse_trees import Node

_ROLE = "authenticated"
# of a test: the time of the request is inside of a range
CONTAINS_NOW = "@>"
# the caller is an element of an array
ELEMENT = "any"
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
# functions that return their argument, or one of its values
_AGGREGATES = {"max", "min", "array_agg", "any_value", "unnest"}
_QUANTIFIERS = {"bool_or", "every", "bool_and"}
_DOCUMENTS = {"to_jsonb", "to_json", "jsonb_build_array", "json_build_array"}


@dataclass(frozen=True, order=True)
class Cell:
    """A column of a row of a path: row 0 is that of the policy."""

    row: int
    column: str


@dataclass(frozen=True, order=True)
class Test:
    """A condition about one column: an operator with a constant, with the time of the request
    (`value` None), or one of IS_NULL, IS_NOT_NULL and CONTAINS_NOW. `others` are the other
    constants of a list.
    """

    cell: Cell
    operator: str
    value: str | None = None
    others: tuple[str, ...] = ()


# a step in a claim: a key, EACH element of an array, or the value of a column
ClaimStep = str | Cell


@dataclass(frozen=True)
class Path:
    """The rows of `tables`, the first of which is that of the policy, and what must hold of them:
    columns that are `joined`, those that hold the `caller`, or an array with the caller (`among`),
    those with the value of a claim, and tests. `wanted` are claims with a constant.

    `reads`: a policy shows rows by the path.
    """

    tables: tuple[str, ...]
    joined: frozenset[tuple[Cell, Cell]] = frozenset()
    caller: frozenset[Cell] = frozenset()
    among: frozenset[Cell] = frozenset()
    claims: frozenset[tuple[tuple[ClaimStep, ...], Cell]] = frozenset()
    wanted: frozenset[tuple[tuple[ClaimStep, ...], str]] = frozenset()
    tests: frozenset[Test] = frozenset()
    reads: bool = False

    def columns(self, row: int) -> set[str]:
        """The columns of a row that the path names."""
        joined = chain.from_iterable(self.joined)
        claimed = chain.from_iterable((*steps, cell) for steps, cell in self.claims)
        tested = (test.cell for test in self.tests)
        cells = (*joined, *self.caller, *self.among, *tested, *claimed)
        return {cell.column for cell in cells if isinstance(cell, Cell) and cell.row == row}

    @property
    def of_rows(self) -> frozenset[Test]:
        """The tests of the rows besides that of the policy."""
        return frozenset(test for test in self.tests if test.cell.row)

    @property
    def links(self) -> frozenset[tuple[Cell, Cell]]:
        """The columns that connect the row of the policy, which is first, with other rows."""
        return frozenset((a, b) for a, b in self.joined if not a.row)

    @property
    def skeleton(self) -> tuple[Any, ...]:
        """The part of a path that does not depend on the policy's table and on its tests: who
        reaches something by it has the same rows.
        """
        joined = frozenset((a, b) for a, b in self.joined if a.row)
        caller = frozenset(cell for cell in self.caller if cell.row)
        among = frozenset(cell for cell in self.among if cell.row)
        claims = frozenset(self.claims)
        linked = frozenset(b for _, b in self.links)
        return self.tables[1:], joined, caller, among, claims, self.wanted, linked


def paths(catalog: Catalog) -> list[Path]:
    """The paths of all policies for signed-in users, of which other rows or claims are a part."""
    reader = _Reader(catalog)
    found: dict[Path, None] = {}
    for relation in catalog.tables:
        for policy in relation.policies:
            if policy.permissive and policy.applies_to(_ROLE) and relation.may(_ROLE, "SELECT"):
                found |= dict.fromkeys(reader.of_policy(relation, policy))
    return list(found)


@dataclass(frozen=True)
class _Known:
    """The conditions so far: rows, and pairs of terms with an operator."""

    tables: tuple[str, ...]
    atoms: tuple[tuple[str, "_Term", "_Term"], ...] = ()

    def with_row(self, table: str) -> tuple["_Known", int]:
        return replace(self, tables=(*self.tables, table)), len(self.tables)

    def with_atom(self, operator: str, left: "_Term", right: "_Term") -> "_Known":
        if left is None or right is None:
            return self
        return replace(self, atoms=(*self.atoms, (operator, left, right)))


@dataclass(frozen=True)
class _Path:
    """A claim at a path."""

    steps: tuple[ClaimStep, ...]


@dataclass(frozen=True)
class _Listed(Literal):
    """The first of several constants, by their texts."""

    others: tuple[str, ...] = ()


_Term = Cell | _Path | Literal | Now | None
_NULL, _FLAG = Literal("null"), Literal("true")
_USER = _Path(USER_ID.path)


@dataclass(frozen=True)
class _Scope:
    """The names of a query: its rows, its other terms, and those of the query around it."""

    rows: Mapping[str, tuple[int, Relation]] = field(default_factory=dict)
    terms: Mapping[str, _Term] = field(default_factory=dict)
    outer: "_Scope | None" = None

    def term(self, table: str | None, column: str) -> _Term:
        """The term that a name stands for; None if it is unknown."""
        if table is not None and table in self.rows:
            row, relation = self.rows[table]
            return Cell(row, column) if column in relation.by_name else None
        if table is None:
            for row, relation in self.rows.values():
                if column in relation.by_name:
                    return Cell(row, column)
        if (table or column) in self.terms:
            return self.terms[table or column]
        return self.outer.term(table, column) if self.outer is not None else None


class _Reader:
    """Reads conditions. An expression that it does not know counts as true, because a path is only
    a proposal: somebody is made by it, and tries.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._by_name: dict[str, Relation] = {}
        for relation in sorted(catalog.tables, key=lambda r: r.schema == "public"):
            self._by_name[relation.name] = self._by_name[relation.label] = relation
        self._functions: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._functions.setdefault(function.name, []).append(function)
        self._depth = 0

    def of_policy(self, relation: Relation, policy: Policy) -> Iterator[Path]:
        """The paths of one policy."""
        scope = _Scope({relation.name: (0, relation)})
        for text in dict.fromkeys((policy.visible, policy.checked)):
            tree = None if text is None else parse_trees.expression_tree(text)
            start = _Known((relation.label,))
            for known in self._condition(tree, scope, start) if tree is not None else ():
                path = _path(known, reads=policy.governs("select"))
                if path is not None:
                    yield path

    def _condition(self, node: Any, scope: _Scope, known: _Known) -> list[_Known]:
        """The alternatives that make a condition true."""
        if not isinstance(node, dict) or not node:
            return [known]
        kind, fields = next(iter(node.items()))
        match kind:
            case "BoolExpr":
                return self._operation(fields, scope, known)
            case "SubLink":
                return self._link(fields, scope, known)
            case "A_Expr":
                return self._comparison(fields, scope, known)
            case "NullTest":
                operator = fields["nulltesttype"]
                return [
                    k.with_atom(operator, t, _NULL)
                    for t, k in self._term(fields["arg"], scope, known)
                ]
            case "TypeCast" | "BooleanTest":
                return self._condition(fields["arg"], scope, known)
            case "CoalesceExpr":
                return self._condition(fields["args"][0], scope, known)
            case "FuncCall" if parse_trees.name_of(fields)[-1] in _QUANTIFIERS:
                return self._condition(fields["args"][0], scope, known)
            case "FuncCall" if self._named(fields):
                return [k for _, k in self._called(fields, scope, known, is_condition=True)]
            case "A_Const":
                return [] if expressions.value(node) == Literal("false") else [known]
            case "ColumnRef":
                return [k.with_atom("=", t, _FLAG) for t, k in self._term(node, scope, known)]
            case "CaseExpr":
                return self._case(fields, scope, known)
        return [known]

    def _operation(self, fields: Node, scope: _Scope, known: _Known) -> list[_Known]:
        if fields["boolop"] == "AND_EXPR":
            found = [known]
            for operand in fields["args"]:
                found = [k for one in found for k in self._condition(operand, scope, one)]
                found = found[: LIMITS.alternatives]
            return found
        if fields["boolop"] == "OR_EXPR":
            each = [self._condition(operand, scope, known) for operand in fields["args"]]
            return [*chain.from_iterable(each)][: LIMITS.alternatives]
        [negated] = fields["args"]
        if "ColumnRef" not in negated:
            return [known]
        off = Literal("false")
        return [k.with_atom("=", t, off) for t, k in self._term(negated, scope, known)]

    def _case(self, fields: Node, scope: _Scope, known: _Known) -> list[_Known]:
        found = []
        for when in (one["CaseWhen"] for one in fields["args"] if "arg" not in fields):
            for one in self._condition(when["expr"], scope, known):
                found += self._condition(when["result"], scope, one)
        return found + self._condition(fields.get("defresult"), scope, known)

    def _link(self, fields: Node, scope: _Scope, known: _Known) -> list[_Known]:
        select = fields["subselect"].get("SelectStmt", {})
        if fields["subLinkType"] == "EXISTS_SUBLINK":
            return [k for _, k, _ in self._query(select, scope, known)]
        if fields["subLinkType"] == "ANY_SUBLINK":
            found = []
            for left, one in self._term(fields.get("testexpr"), scope, known):
                for right, each in self._targets(select, scope, one):
                    found.append(each.with_atom("=", left, right))
            return found
        [*targets] = select.get("targetList", [])
        if fields["subLinkType"] != "EXPR_SUBLINK" or len(targets) != 1:
            return [known]
        value = targets[0]["ResTarget"]["val"]
        queries = self._query(select, scope, known)
        return [k for inner, one, _ in queries for k in self._condition(value, inner, one)]

    def _query(
        self, select: Node, scope: _Scope, known: _Known
    ) -> list[tuple[_Scope, _Known, Node]]:
        """The rows and conditions of a query, and what its names stand for in its target list."""
        if "larg" in select:
            parts = [self._query(select[name], scope, known) for name in ("larg", "rarg")]
            return [*chain.from_iterable(parts)][: LIMITS.alternatives]
        rows: dict[str, tuple[int, Relation]] = {}
        terms: dict[str, _Term] = {}
        conditions: list[Any] = []
        for item in select.get("fromClause", []):
            known = self._from(item, scope, known, rows, terms, conditions)
        inner = _Scope(rows, terms, scope)
        found = [known]
        for condition in [*conditions, select.get("whereClause")]:
            found = [k for one in found for k in self._condition(condition, inner, one)]
        return [(inner, one, select) for one in found[: LIMITS.alternatives]]

    def _from(
        self,
        item: Node,
        scope: _Scope,
        known: _Known,
        rows: dict[str, tuple[int, Relation]],
        terms: dict[str, _Term],
        conditions: list[Any],
    ) -> _Known:
        """Add the rows of an item of FROM to what is known."""
        kind, fields = next(iter(item.items()))
        alias = fields.get("alias", {}).get("aliasname", "")
        if kind == "RangeVar":
            names = [fields[name] for name in ("schemaname", "relname") if name in fields]
            relation = self._by_name.get(".".join(names))
            if relation is not None:
                known, row = known.with_row(relation.label)
                rows[alias or fields["relname"]] = row, relation
        elif kind == "JoinExpr":
            for side in (fields["larg"], fields["rarg"]):
                known = self._from(side, scope, known, rows, terms, conditions)
            conditions.append(fields.get("quals"))
        elif kind == "RangeFunction" and alias:
            call = fields["functions"][0]["List"]["items"][0]
            inner = _Scope(rows, terms, scope)
            for term, one in self._term(call, inner, known)[:1]:
                known, terms[alias] = one, term
        elif kind == "RangeSubselect" and alias:
            select = fields["subquery"].get("SelectStmt", {})
            for inner, one, _ in self._query(select, scope, known)[:1]:
                known = one
                rows |= {f"{alias}.{name}": row for name, row in inner.rows.items()}
        return known

    def _targets(self, select: Node, scope: _Scope, known: _Known) -> list[tuple[_Term, _Known]]:
        """The values of the only column that a query returns."""
        found = []
        for inner, one, part in self._query(select, scope, known):
            targets = part.get("targetList", [])
            if len(targets) == 1:
                found += self._term(targets[0]["ResTarget"]["val"], inner, one)
            else:
                found.append((None, one))
        return found[: LIMITS.alternatives]

    def _comparison(self, fields: Node, scope: _Scope, known: _Known) -> list[_Known]:
        operator = fields["name"][-1]["String"]["sval"]
        kind = fields["kind"]
        if kind in ("AEXPR_OP_ANY", "AEXPR_IN"):
            return self._member(fields, operator, scope, known)
        if kind == "AEXPR_BETWEEN":
            first, last = fields["rexpr"]["List"]["items"]
            found = self._compared(fields["lexpr"], ">=", first, scope, known)
            return [
                k for one in found for k in self._compared(fields["lexpr"], "<=", last, scope, one)
            ]
        if "lexpr" not in fields or kind not in ("AEXPR_OP", "AEXPR_NOT_DISTINCT"):
            return [known]
        return self._compared(fields["lexpr"], operator, fields["rexpr"], scope, known)

    def _compared(
        self, left: Any, operator: str, right: Any, scope: _Scope, known: _Known
    ) -> list[_Known]:
        found = []
        for first, one in self._term(left, scope, known):
            for second, each in self._term(right, scope, one):
                found.append(_with_comparison(each, operator, first, second))
        return found[: LIMITS.alternatives]

    def _member(self, fields: Node, operator: str, scope: _Scope, known: _Known) -> list[_Known]:
        """`x = any (…)`: with a list the first of its elements by their texts, in whichever order
        it has them, with an array of a row that it contains x.
        """
        if operator != "=":
            return [known]
        listed = parse_trees.elements(fields["rexpr"])
        if listed != [fields["rexpr"]]:
            return self._listed(fields["lexpr"], listed, scope, known) if listed else []
        found = []
        for first, one in self._term(fields["lexpr"], scope, known):
            for second, each in self._term(fields["rexpr"], scope, one):
                is_array = isinstance(second, Cell) and "SubLink" not in fields["rexpr"]
                found.append(each.with_atom(ELEMENT if is_array else "=", first, second))
        return found[: LIMITS.alternatives]

    def _listed(
        self, left: Any, listed: Sequence[Any], scope: _Scope, known: _Known
    ) -> list[_Known]:
        values = [expressions.value(one) for one in listed]
        texts = sorted(one.text for one in values if isinstance(one, Literal))
        if len(texts) < len(listed):
            return self._compared(left, "=", listed[0], scope, known)
        first = _Listed(texts[0], tuple(texts[1:]))
        return [k.with_atom("=", term, first) for term, k in self._term(left, scope, known)]

    def _term(self, node: Any, scope: _Scope, known: _Known) -> list[tuple[_Term, _Known]]:
        """The meaning of an expression: one for each alternative."""
        if not isinstance(node, dict) or not node:
            return [(None, known)]
        kind, fields = next(iter(node.items()))
        match kind:
            case "TypeCast":
                return self._term(fields["arg"], scope, known)
            case "CoalesceExpr":
                return self._term(fields["args"][0], scope, known)
            case "ColumnRef" | "ParamRef":
                named = expressions.value(node)
                if isinstance(named, expressions.Reference):
                    return [(scope.term(named.table, named.column), known)]
            case "SubLink" if fields["subLinkType"] in ("EXPR_SUBLINK", "ARRAY_SUBLINK"):
                return self._targets(fields["subselect"].get("SelectStmt", {}), scope, known)
            case "FuncCall":
                return self._of_call(fields, scope, known)
            case "A_Expr" if "lexpr" in fields:
                return self._within(node, fields, scope, known)
            case "A_ArrayExpr" if fields.get("elements"):
                return self._term(fields["elements"][0], scope, known)
        return [(_plain(node), known)]

    def _of_call(self, fields: Node, scope: _Scope, known: _Known) -> list[tuple[_Term, _Known]]:
        name, arguments = parse_trees.name_of(fields)[-1], fields.get("args", [])
        if (plain := _plain({"FuncCall": fields})) is not None:
            return [(plain, known)]
        if self._named(fields):
            return self._called(fields, scope, known, is_condition=False)
        unknown: list[tuple[_Term, _Known]] = [(None, known)]
        inner = self._term(arguments[0], scope, known) if arguments else unknown
        if name in expressions.ELEMENTS:
            return [
                (_Path((*t.steps, EACH)) if isinstance(t, _Path) else None, k) for t, k in inner
            ]
        is_same = name in _AGGREGATES | _DOCUMENTS | expressions.TRANSPARENT
        return inner if is_same else unknown

    def _within(
        self, node: Any, fields: Node, scope: _Scope, known: _Known
    ) -> list[tuple[_Term, _Known]]:
        """A value in a claim, by a key or by the value of a column."""
        operator = fields["name"][-1]["String"]["sval"]
        if fields["kind"] == "AEXPR_NULLIF":
            return self._term(fields["lexpr"], scope, known)
        if operator not in ("->", "->>"):
            return [(_plain(node), known)]
        found: list[tuple[_Term, _Known]] = []
        for document, one in self._term(fields["lexpr"], scope, known):
            for key, each in self._term(fields["rexpr"], scope, one):
                step = key.text if isinstance(key, Literal) else key
                inside: _Term = None
                if isinstance(document, _Path) and isinstance(step, str | Cell):
                    inside = _Path((*document.steps, step))
                found.append((inside, each))
        return found

    def _called(
        self, fields: Node, scope: _Scope, known: _Known, *, is_condition: bool
    ) -> list[tuple[_Term, _Known]]:
        """The values that a call of a function of the project returns, with their conditions."""
        [function, *_] = self._named(fields)
        if self._depth >= LIMITS.calls_within:
            return [(None, known)]
        self._depth += 1
        found: list[tuple[_Term, _Known]] = []
        for terms, one in self._arguments(function, fields, scope, known):
            found += self._body(function, _Scope(terms=terms), one, is_condition=is_condition)
        self._depth -= 1
        return found[: LIMITS.alternatives]

    def _arguments(
        self, function: Function, fields: Node, scope: _Scope, known: _Known
    ) -> list[tuple[dict[str, _Term], _Known]]:
        names = function.argument_names
        found: list[tuple[dict[str, _Term], _Known]] = [({}, known)]
        for number, argument in enumerate(fields.get("args", [])):
            named = argument.get("NamedArgExpr", {})
            name = named.get("name") or (names[number] if number < len(names) else "")
            each = []
            for terms, one in found:
                for term, k in self._term(named.get("arg", argument), scope, one):
                    each.append(({**terms, name: term, f"${number + 1}": term}, k))
            found = each
        return found

    def _body(
        self, function: Function, scope: _Scope, known: _Known, *, is_condition: bool
    ) -> list[tuple[_Term, _Known]]:
        trees = [
            tree["SelectStmt"]
            for tree in parse_trees.body_trees(function.language, function.body)
            if "SelectStmt" in tree
        ]
        if function.language == "sql":
            trees = trees[-1:]
        found: list[tuple[_Term, _Known]] = []
        for select in trees:
            if not is_condition:
                found += self._targets(select, scope, known)
                continue
            targets = select.get("targetList", [])
            value = targets[0]["ResTarget"]["val"] if len(targets) == 1 else None
            for inner, one, part in self._query(select, scope, known):
                value = part["targetList"][0]["ResTarget"]["val"] if "targetList" in part else value
                found += [(None, k) for k in self._condition(value, inner, one)]
        return found or [(None, known)]

    def _named(self, fields: Node) -> list[Function]:
        name = parse_trees.name_of(fields)
        found = self._functions.get(name[-1], [])
        return [f for f in found if len(name) == 1 or f.schema == name[-2]]


def _plain(node: Any) -> _Term:
    """A value that needs no row."""
    found = expressions.value(node)
    if isinstance(found, Claim):
        return _Path(found.path)
    return found if isinstance(found, Literal | Now) else None


def _with_comparison(known: _Known, operator: str, left: _Term, right: _Term) -> _Known:
    """The conditions, with a comparison."""
    if operator in _MIRRORED:
        return known.with_atom(operator, left, right)
    if operator in ("?", "?|", "?&", "@>") and isinstance(left, _Path):
        if isinstance(right, Literal):
            right = Literal(right.text.strip('[]" '))
        return known.with_atom("=", _Path((*left.steps, EACH)), right)
    if operator == "@>" and isinstance(left, Cell):
        return known.with_atom(CONTAINS_NOW if isinstance(right, Now) else ELEMENT, right, left)
    if operator == "<@" and isinstance(right, Cell):
        return known.with_atom(CONTAINS_NOW if isinstance(left, Now) else ELEMENT, left, right)
    return known


def _path(known: _Known, *, reads: bool) -> Path | None:
    """The path of what must hold; None if only the row of the policy decides, or nobody."""
    found = _Parts()
    for operator, left, right in known.atoms:
        if operator in (ELEMENT, CONTAINS_NOW):
            found.add_contained(left, right)
        elif isinstance(right, Cell):
            found.add(_MIRRORED.get(operator, operator), right, left)
        else:
            found.add(operator, left, right)
    is_asked = found.claims or found.wanted
    if not (is_asked or found.caller or found.among) or (len(known.tables) == 1 and not is_asked):
        return None
    path = Path(
        tables=known.tables,
        joined=frozenset(found.joined),
        caller=frozenset(found.caller),
        among=frozenset(found.among),
        claims=frozenset(found.claims),
        wanted=frozenset(found.wanted),
        tests=frozenset(found.tests),
        reads=reads,
    )
    return _in_order(path)


@dataclass(eq=False)
class _Parts:
    """The parts of a path."""

    joined: set[tuple[Cell, Cell]] = field(default_factory=set)
    caller: set[Cell] = field(default_factory=set)
    among: set[Cell] = field(default_factory=set)
    claims: set[tuple[tuple[ClaimStep, ...], Cell]] = field(default_factory=set)
    wanted: set[tuple[tuple[ClaimStep, ...], str]] = field(default_factory=set)
    tests: set[Test] = field(default_factory=set)

    def add(self, operator: str, left: _Term, right: _Term) -> None:
        """Add a comparison, with the column on its left side if it has one."""
        if isinstance(left, Cell):
            self._add_of_column(operator, left, right)
            return
        if operator != "=" or not isinstance(left, _Path) or not isinstance(right, Literal):
            return
        if left.steps and left.steps not in (_USER.steps, ("role",)):  # Auth sets these
            self.wanted.add((left.steps, right.text))

    def _add_of_column(self, operator: str, cell: Cell, other: _Term) -> None:
        if operator in (IS_NULL, IS_NOT_NULL):
            self.tests.add(Test(cell, operator))
        elif isinstance(other, Literal):
            others = other.others if isinstance(other, _Listed) else ()
            self.tests.add(Test(cell, operator, other.text, others))
        elif isinstance(other, Now):
            self.tests.add(Test(cell, operator))
        elif operator != "=" or other == cell:
            return
        elif other == _USER:
            self.caller.add(cell)
        elif isinstance(other, _Path) and other.steps:
            self.claims.add((other.steps, cell))
        elif isinstance(other, Cell):
            self.joined.add((min(cell, other), max(cell, other)))

    def add_contained(self, element: _Term, cell: _Term) -> None:
        """Add that a range contains the time, or an array the caller."""
        if isinstance(cell, Cell) and isinstance(element, Now):
            self.tests.add(Test(cell, CONTAINS_NOW))
        elif isinstance(cell, Cell) and element == _USER:
            self.among.add(cell)


def _in_order(path: Path) -> Path:
    """The same path with its rows in the order of the names of their tables."""
    rows = sorted(range(1, len(path.tables)), key=lambda row: (path.tables[row], row))
    places = {0: 0, **{row: number for number, row in enumerate(rows, 1)}}

    def at(cell: Cell) -> Cell:
        return Cell(places[cell.row], cell.column)

    def within(steps: Sequence[ClaimStep]) -> tuple[ClaimStep, ...]:
        return tuple(at(step) if isinstance(step, Cell) else step for step in steps)

    pairs = ((at(a), at(b)) for a, b in path.joined)
    return replace(
        path,
        tables=(path.tables[0], *(path.tables[row] for row in rows)),
        joined=frozenset((min(pair), max(pair)) for pair in pairs),
        caller=frozenset(map(at, path.caller)),
        among=frozenset(map(at, path.among)),
        claims=frozenset((within(steps), at(cell)) for steps, cell in path.claims),
        wanted=frozenset((within(steps), text) for steps, text in path.wanted),
        tests=frozenset(replace(test, cell=at(test.cell)) for test in path.tests),
    )
