"""Names in conditions of policies and functions that mean a column of the nearest table, where that
of another one, or an argument, was meant.

Of a policy the server prints what each name means. In a function in SQL, a column goes before an
argument of the same name.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees
from supabase_jobs.audit.policies.expressions import Literal, Reference
from supabase_jobs.audit.policies.parse_trees import Node

# functions of Storage that take the path of a file
_OF_PATHS = ("foldername", "filename", "extension")


@dataclass(frozen=True)
class CapturedName:
    """A column that a condition of a policy or function takes instead of what was meant. `policy`
    is '' for a function. `is_path`: the column takes the place of the path of a file; otherwise it
    is compared with itself. `is_argument`: an argument of the function has its name. `alias` is the
    name of the table in the query.
    """

    object: str
    policy: str
    table: str
    column: str
    is_path: bool = False
    is_argument: bool = False
    alias: str = ""


@dataclass(frozen=True)
class _Meaning:
    """A column of a table in a query: the `depth` of the query, and the table's alias in it."""

    depth: int
    alias: str
    column: str
    relation: Relation | None


# the tables of a query by their aliases; None is no table of the catalog
_Level = Mapping[str, Relation | None]


def of_policy(catalog: Catalog, relation: Relation, policy: Policy) -> Iterator[CapturedName]:
    """The captured names of a policy."""
    texts = [text for text in (policy.visible, policy.checked) if text is not None]
    trees = [parse_trees.expression_tree(text) for text in texts]
    reader = _Reader(catalog, trees, {relation.name: relation})
    for meaning in reader.compared_with_themselves(trees):
        yield _captured(relation.label, policy.name, meaning)
    if relation.is_storage:
        for meaning in reader.taken_for_paths(trees):
            yield _captured(relation.label, policy.name, meaning, is_path=True)


def of_function(catalog: Catalog, function: Function) -> Iterator[CapturedName]:
    """The captured names of a function. One in PL/pgSQL fails if a name may mean two things."""
    trees = parse_trees.body_trees(function.language, function.body)
    reader = _Reader(catalog, trees, {}, knows_names=function.language == "sql")
    for meaning in reader.compared_with_themselves(trees):
        is_argument = bool(function.argument(meaning.column))
        yield _captured(function.signature, "", meaning, is_argument=is_argument)


def _captured(
    label: str,
    policy: str,
    meaning: _Meaning,
    *,
    is_path: bool = False,
    is_argument: bool = False,
) -> CapturedName:
    table = meaning.alias if meaning.relation is None else meaning.relation.label
    return CapturedName(
        object=label,
        policy=policy,
        table=table,
        column=meaning.column,
        is_path=is_path,
        is_argument=is_argument,
        alias=meaning.alias,
    )


class _Reader:
    def __init__(
        self, catalog: Catalog, trees: Any, outermost: _Level, *, knows_names: bool = True
    ) -> None:
        """`knows_names`: a name without a table is a column if there is one."""
        self._by_name: dict[str, Relation] = {}
        for relation in catalog.relations:
            self._by_name[relation.label] = relation
            if relation.schema == "public":
                self._by_name[relation.name] = relation
            else:
                self._by_name.setdefault(relation.name, relation)
        for query in parse_trees.nodes(trees, "CommonTableExpr"):
            self._by_name.pop(query["ctename"], None)
        self._outermost, self._knows_names = outermost, knows_names

    def compared_with_themselves(self, trees: Any) -> Iterator[_Meaning]:
        """The columns of which a condition demands that they are equal to themselves."""
        for node, levels in self._with_levels(trees, (self._outermost,)):
            left, right, within = self._equal(node, levels)
            one, other = self._meaning(left, levels), self._meaning(right, within)
            if one is not None and one == other:
                yield one

    def taken_for_paths(self, trees: Any) -> Iterator[_Meaning]:
        """The columns of other tables that take the place of the path of a file, in a query that
        does not mention this path.
        """
        for link in parse_trees.nodes(trees, "SubLink"):
            names = [
                self._meaning(node, levels)
                for node, levels in self._with_levels(link, (self._outermost,))
                if "ColumnRef" in node
            ]
            if any(one is not None and (one.depth, one.column) == (0, "name") for one in names):
                continue
            for node, levels in self._with_levels(link, (self._outermost,)):
                call = node.get("FuncCall")
                if call is not None and _takes_path(call):
                    taken = self._meaning(call["args"][0], levels)
                    if taken is not None and taken.depth and taken.column == "name":
                        yield taken

    def _equal(
        self, node: Node, levels: tuple[_Level, ...]
    ) -> tuple[Node | None, Node | None, tuple[_Level, ...]]:
        """The two sides of an equality, and the tables that the right one sees."""
        expression, link = node.get("A_Expr"), node.get("SubLink")
        if isinstance(expression, dict) and _is_equality(expression):
            return expression["lexpr"], expression["rexpr"], levels
        if isinstance(link, dict) and link.get("subLinkType") == "ANY_SUBLINK":
            select = link["subselect"].get("SelectStmt", {})
            targets = select.get("targetList", [])
            if "operName" not in link and len(targets) == 1:
                within = (*levels, self._level(select.get("fromClause")))
                return link.get("testexpr"), targets[0]["ResTarget"]["val"], within
        return None, None, levels

    def _with_levels(
        self, tree: Any, levels: tuple[_Level, ...]
    ) -> Iterator[tuple[Node, tuple[_Level, ...]]]:
        """Each node of a tree, and the tables of the queries around it, the outermost first."""
        if isinstance(tree, list):
            for part in tree:
                yield from self._with_levels(part, levels)
            return
        if not isinstance(tree, dict):
            return
        yield tree, levels
        for kind, part in tree.items():
            within = levels
            if kind == "SelectStmt":
                within = (*levels, self._level(part.get("fromClause")))
            elif kind in ("UpdateStmt", "DeleteStmt"):
                target = {"RangeVar": part["relation"]}
                clauses = [target, part.get("fromClause"), part.get("usingClause")]
                within = (*levels, self._level(clauses))
            yield from self._with_levels(part, within)

    def _level(self, clause: Any) -> _Level:
        """The tables of a FROM clause."""
        found: dict[str, Relation | None] = {}
        if isinstance(clause, list):
            for part in clause:
                found |= self._level(part)
        elif isinstance(clause, dict):
            for kind, part in clause.items():
                if kind == "RangeVar":
                    name, schema = part["relname"], part.get("schemaname", "")
                    label = f"{schema}.{name}" if schema else name
                    alias = part.get("alias", {}).get("aliasname", name)
                    found[alias] = self._by_name.get(label)
                elif kind == "JoinExpr":
                    found |= self._level([part.get("larg"), part.get("rarg")])
                elif "alias" in part:
                    found[part["alias"]["aliasname"]] = None
                else:
                    found[""] = None
        return found

    def _meaning(self, node: Any, levels: tuple[_Level, ...]) -> _Meaning | None:
        """The column that an expression is, if it is nothing but a column."""
        while isinstance(node, dict) and "TypeCast" in node:
            node = node["TypeCast"]["arg"]
        if not isinstance(node, dict) or "ColumnRef" not in node:
            return None
        reference = expressions.value(node)
        if not isinstance(reference, Reference):
            return None
        for depth, level in reversed(list(enumerate(levels))):
            aliases = _aliases(reference, level, knows_names=self._knows_names)
            if aliases is None or len(aliases) > 1:
                return None
            for alias in aliases:
                return _Meaning(depth, alias, reference.column, level[alias])
        return None


def _takes_path(call: Node) -> bool:
    """Whether the first argument of a call is a path: it is split at its slashes."""
    name, arguments = parse_trees.name_of(call), call.get("args", [])
    is_of_storage = name[:-1] == ("storage",) and name[-1] in _OF_PATHS
    is_split = any(expressions.value(node) == Literal("/") for node in arguments[1:])
    return bool(arguments) and (is_of_storage or is_split)


def _is_equality(expression: Node) -> bool:
    is_plain = expression.get("kind") == "AEXPR_OP" and "lexpr" in expression
    return is_plain and expression["name"][-1]["String"]["sval"] == "="


def _aliases(reference: Reference, level: _Level, *, knows_names: bool) -> Collection[str] | None:
    """The tables of a query to which a reference may belong; None if that is not known."""
    if reference.table is not None:
        return [reference.table] if reference.table in level else []
    if not knows_names or None in level.values():
        return None
    known = [(alias, table) for alias, table in level.items() if table is not None]
    return [alias for alias, table in known if reference.column in table.by_name]
