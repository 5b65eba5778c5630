"""Reads the paths of policies. Helpers are followed into their bodies."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.expressions import (
    EACH,
    Claim,
    Literal,
    Now,
)
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.path_conditions import (
    ELEMENT,
    ClaimPath,
    Known,
    Listed,
    Scope,
    Term,
    path_of,
    with_comparison,
)
from supabase_jobs.audit.policies.paths import Cell, Path

_ROLE = "authenticated"
# functions that return their argument, or one of its values
_AGGREGATES = {"max", "min", "array_agg", "any_value", "unnest"}
_QUANTIFIERS = {"bool_or", "every", "bool_and"}
_DOCUMENTS = {"to_jsonb", "to_json", "jsonb_build_array", "json_build_array"}
_NULL, _FLAG = Literal("null"), Literal("true")


def paths(catalog: Catalog) -> list[Path]:
    """The paths of all policies for signed-in users, of which other rows or claims are a part."""
    reader = _Reader(catalog)
    found: dict[Path, None] = {}
    for relation in catalog.tables:
        for policy in relation.policies:
            if policy.permissive and policy.applies_to(_ROLE) and relation.may(_ROLE, "SELECT"):
                found |= dict.fromkeys(reader.of_policy(relation, policy))
    return list(found)


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
        scope = Scope({relation.name: (0, relation)})
        for text in dict.fromkeys((policy.visible, policy.checked)):
            tree = None if text is None else parse_trees.expression_tree(text)
            start = Known((relation.label,))
            for known in self._condition(tree, scope, start) if tree is not None else ():
                path = path_of(known, reads=policy.governs("select"))
                if path is not None:
                    yield path

    def _condition(self, node: Any, scope: Scope, known: Known) -> list[Known]:
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

    def _operation(self, fields: Node, scope: Scope, known: Known) -> list[Known]:
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

    def _case(self, fields: Node, scope: Scope, known: Known) -> list[Known]:
        found = []
        for when in (one["CaseWhen"] for one in fields["args"] if "arg" not in fields):
            for one in self._condition(when["expr"], scope, known):
                found += self._condition(when["result"], scope, one)
        return found + self._condition(fields.get("defresult"), scope, known)

    def _link(self, fields: Node, scope: Scope, known: Known) -> list[Known]:
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

    def _query(self, select: Node, scope: Scope, known: Known) -> list[tuple[Scope, Known, Node]]:
        """The rows and conditions of a query, and what its names stand for in its target list."""
        if "larg" in select:
            parts = [self._query(select[name], scope, known) for name in ("larg", "rarg")]
            return [*chain.from_iterable(parts)][: LIMITS.alternatives]
        rows: dict[str, tuple[int, Relation]] = {}
        terms: dict[str, Term] = {}
        conditions: list[Any] = []
        for item in select.get("fromClause", []):
            known = self._from(item, scope, known, rows, terms, conditions)
        inner = Scope(rows, terms, scope)
        found = [known]
        for condition in [*conditions, select.get("whereClause")]:
            found = [k for one in found for k in self._condition(condition, inner, one)]
        return [(inner, one, select) for one in found[: LIMITS.alternatives]]

    def _from(
        self,
        item: Node,
        scope: Scope,
        known: Known,
        rows: dict[str, tuple[int, Relation]],
        terms: dict[str, Term],
        conditions: list[Any],
    ) -> Known:
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
            inner = Scope(rows, terms, scope)
            for term, one in self._term(call, inner, known)[:1]:
                known, terms[alias] = one, term
        elif kind == "RangeSubselect" and alias:
            select = fields["subquery"].get("SelectStmt", {})
            for inner, one, _ in self._query(select, scope, known)[:1]:
                known = one
                rows |= {f"{alias}.{name}": row for name, row in inner.rows.items()}
        return known

    def _targets(self, select: Node, scope: Scope, known: Known) -> list[tuple[Term, Known]]:
        """The values of the only column that a query returns."""
        found = []
        for inner, one, part in self._query(select, scope, known):
            targets = part.get("targetList", [])
            if len(targets) == 1:
                found += self._term(targets[0]["ResTarget"]["val"], inner, one)
            else:
                found.append((None, one))
        return found[: LIMITS.alternatives]

    def _comparison(self, fields: Node, scope: Scope, known: Known) -> list[Known]:
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
        self, left: Any, operator: str, right: Any, scope: Scope, known: Known
    ) -> list[Known]:
        found = []
        for first, one in self._term(left, scope, known):
            for second, each in self._term(right, scope, one):
                found.append(with_comparison(each, operator, first, second))
        return found[: LIMITS.alternatives]

    def _member(self, fields: Node, operator: str, scope: Scope, known: Known) -> list[Known]:
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

    def _listed(self, left: Any, listed: Sequence[Any], scope: Scope, known: Known) -> list[Known]:
        values = [expressions.value(one) for one in listed]
        texts = sorted(one.text for one in values if isinstance(one, Literal))
        if len(texts) < len(listed):
            return self._compared(left, "=", listed[0], scope, known)
        first = Listed(texts[0], tuple(texts[1:]))
        return [k.with_atom("=", term, first) for term, k in self._term(left, scope, known)]

    def _term(self, node: Any, scope: Scope, known: Known) -> list[tuple[Term, Known]]:
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

    def _of_call(self, fields: Node, scope: Scope, known: Known) -> list[tuple[Term, Known]]:
        name, arguments = parse_trees.name_of(fields)[-1], fields.get("args", [])
        if (plain := _plain({"FuncCall": fields})) is not None:
            return [(plain, known)]
        if self._named(fields):
            return self._called(fields, scope, known, is_condition=False)
        unknown: list[tuple[Term, Known]] = [(None, known)]
        inner = self._term(arguments[0], scope, known) if arguments else unknown
        if name in expressions.ELEMENTS:
            return [(_each_of(term), k) for term, k in inner]
        is_same = name in _AGGREGATES | _DOCUMENTS | expressions.TRANSPARENT
        return inner if is_same else unknown

    def _within(
        self, node: Any, fields: Node, scope: Scope, known: Known
    ) -> list[tuple[Term, Known]]:
        """A value in a claim, by a key or by the value of a column."""
        operator = fields["name"][-1]["String"]["sval"]
        if fields["kind"] == "AEXPR_NULLIF":
            return self._term(fields["lexpr"], scope, known)
        if operator not in ("->", "->>"):
            return [(_plain(node), known)]
        found: list[tuple[Term, Known]] = []
        for document, one in self._term(fields["lexpr"], scope, known):
            for key, each in self._term(fields["rexpr"], scope, one):
                step = key.text if isinstance(key, Literal) else key
                inside: Term = None
                if isinstance(document, ClaimPath) and isinstance(step, str | Cell):
                    inside = ClaimPath((*document.steps, step))
                found.append((inside, each))
        return found

    def _called(
        self, fields: Node, scope: Scope, known: Known, *, is_condition: bool
    ) -> list[tuple[Term, Known]]:
        """The values that a call of a function of the project returns, with their conditions."""
        [function, *_] = self._named(fields)
        if self._depth >= LIMITS.calls_within:
            return [(None, known)]
        self._depth += 1
        found: list[tuple[Term, Known]] = []
        for terms, one in self._arguments(function, fields, scope, known):
            found += self._body(function, Scope(terms=terms), one, is_condition=is_condition)
        self._depth -= 1
        return found[: LIMITS.alternatives]

    def _arguments(
        self, function: Function, fields: Node, scope: Scope, known: Known
    ) -> list[tuple[dict[str, Term], Known]]:
        names = function.argument_names
        found: list[tuple[dict[str, Term], Known]] = [({}, known)]
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
        self, function: Function, scope: Scope, known: Known, *, is_condition: bool
    ) -> list[tuple[Term, Known]]:
        trees = [
            tree["SelectStmt"]
            for tree in parse_trees.body_trees(function.language, function.body)
            if "SelectStmt" in tree
        ]
        if function.language == "sql":
            trees = trees[-1:]
        found: list[tuple[Term, Known]] = []
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


def _each_of(term: Term) -> Term:
    """Each element of an array in a claim."""
    return ClaimPath((*term.steps, EACH)) if isinstance(term, ClaimPath) else None


def _plain(node: Any) -> Term:
    """A value that needs no row."""
    found = expressions.value(node)
    if isinstance(found, Claim):
        return ClaimPath(found.path)
    return found if isinstance(found, Literal | Now) else None
