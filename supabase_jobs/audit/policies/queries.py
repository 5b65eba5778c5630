"""Queries and writes in parse trees: the columns that they name, return, demand or set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from supabase_jobs.audit.policies.expressions import Reference, Selected, value
from supabase_jobs.audit.policies.parse_trees import Node, nodes, scopes_of, tables
from supabase_jobs.audit.policies.truth import excludes


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
    column, scopes = value(target), scopes_of(select["fromClause"])
    if not isinstance(column, Reference):
        return None
    if column.table is None and len(scopes) == 1:
        return Selected(next(iter(scopes.values())), column.column)
    table = scopes.get(column.table or "")
    return None if table is None else Selected(table, column.column)


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
        [label] = scopes_of({"RangeVar": {**statement["relation"], "alias": {}}}).values()
        named = [target["ResTarget"]["name"] for target in statement.get("cols", [])]
        names = named or columns_of(label)
        for name, expression in zip(names, values, strict=False):
            yield label, name, expression


def filled(tree: Any) -> set[str]:
    """The tables to which a tree adds rows."""
    found = [statement["relation"] for statement in nodes(tree, "InsertStmt")]
    tables_ = [scopes_of({"RangeVar": {**relation, "alias": {}}}) for relation in found]
    return {label for names in tables_ for label in names.values()}


def updated(tree: Any) -> Iterator[tuple[str, str]]:
    """The table and the column of each value that a tree sets by UPDATE."""
    for label, column, _ in assigned(tree):
        yield label, column


def assigned(tree: Any) -> Iterator[tuple[str, str, Node]]:
    """The table, the column and the expression of each value that a tree sets by UPDATE."""
    for statement in nodes(tree, "UpdateStmt"):
        [label] = scopes_of({"RangeVar": {**statement["relation"], "alias": {}}}).values()
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


def patterns(tree: Any) -> Iterator[Reference]:
    """The columns and arguments that LIKE takes as a pattern."""
    for node in nodes(tree, "A_Expr"):
        if node.get("kind") in ("AEXPR_LIKE", "AEXPR_ILIKE"):
            found = value(node.get("rexpr"))
            if isinstance(found, Reference):
                yield found
