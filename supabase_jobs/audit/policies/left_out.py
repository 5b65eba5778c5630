"""Conditions of policies that a function leaves out: it reads a table for the callers of a policy,
or rows below the one whose secret it gets, and does not ask for a column that the policy tests. Or
it adds rows and does not look for what refuses them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Function, Policy, Relation
from supabase_jobs.audit.policies import parse_trees, queries
from supabase_jobs.audit.policies.uses import Usage

_CALLERS = {"anon", "authenticated"}


@dataclass(frozen=True)
class LeftOut:
    """A column that a `policy` tests and a function does not, or, without a policy, that a
    recursive query tests of the rows with which it begins only. `is_below`: of rows below the one
    whose secret it gets. `refusing` is a table in which the policy looks for a row that refuses,
    where the function adds rows.
    """

    function: str
    table: str
    column: str
    policy: str
    is_below: bool = False
    refusing: str = ""


@dataclass(frozen=True)
class _Conditions:
    """The columns of its table that a policy tests, each alone, with what it demands of each row.
    `guards` are what it asks its caller by: the signatures of functions, and columns.
    """

    policy: str
    columns: frozenset[str]
    guards: frozenset[object]


def find(catalog: Catalog, usage: Usage, secrets: Mapping[int, Sequence[int]]) -> Iterator[LeftOut]:
    """The columns that functions leave out which requests can call. `secrets` maps functions to the
    tables in which they find a row by a secret.
    """
    read = {r.oid: list(_reading(catalog, usage, r)) for r in catalog.tables}
    helpers = {name for called in usage.policies.policy_functions.values() for name in called}
    for function in catalog.functions:
        if not function.definer or function.signature in helpers:
            continue
        if function.oid not in usage.conditions.own:
            continue  # a helper of policies that a repair has added: the usage is of before
        if not _CALLERS.intersection(function.callers):
            continue
        yield from _of_added(catalog, usage, function)
        if not _returns(function):
            continue
        trees = parse_trees.body_trees(function.language, function.body)
        labels = parse_trees.tables(trees)
        relations = [r for r in catalog.tables if {r.label, r.name} & labels]
        yield from _of_callers(catalog, usage, function, trees, relations, read)
        yield from _of_recursion(usage, function, trees, relations)
        yield from _of_secret(catalog, usage, function, relations, secrets.get(function.oid, ()))


def _of_added(catalog: Catalog, usage: Usage, function: Function) -> Iterator[LeftOut]:
    """The tables in which each policy for new rows looks for a row that refuses, such as a block,
    and that a function does not read which adds such rows for its caller.
    """
    if function.oid not in usage.conditions.asking:
        return
    for relation in catalog.tables:
        adding = [p for p in relation.policies if p.permissive and p.governs("insert")]
        if relation.oid not in usage.bodies.adds[function.oid] or not adding:
            continue
        refusing = [_refusing(catalog, usage, policy) for policy in adding]
        for oid in sorted(set.intersection(*refusing) - usage.bodies.function_reads[function.oid]):
            yield LeftOut(
                function=function.signature,
                table=relation.label,
                column="",
                policy=adding[0].name,
                refusing=catalog.by_oid[oid].label,
            )


def _refusing(catalog: Catalog, usage: Usage, policy: Policy) -> set[int]:
    """The tables in which a policy looks for a row that refuses, itself or by a function."""
    tree = parse_trees.expression_tree(policy.checked or policy.visible or "true")
    names = queries.denying(tree)
    found = {r.oid for r in catalog.tables if {r.name, r.label} & names}
    for negation in parse_trees.nodes(tree, "BoolExpr"):
        calls = parse_trees.calls(negation["args"]) if negation["boolop"] == "NOT_EXPR" else ()
        called = {call[-1] for call in calls}
        for function in catalog.functions:
            if function.name in called:
                found |= usage.bodies.function_reads[function.oid]
    return found


def _reading(catalog: Catalog, usage: Usage, relation: Relation) -> Iterator[_Conditions]:
    """The conditions of the policies of a table by which its rows are read."""
    for policy in relation.policies:
        if policy.permissive and policy.governs("select"):
            yield _read(catalog, usage, relation, policy, policy.visible)


def _returns(function: Function) -> bool:
    """Whether a function only reads, and has an answer."""
    return function.volatility != "v" and function.result not in ("void", "trigger")


def _of_callers(
    catalog: Catalog,
    usage: Usage,
    function: Function,
    trees: Any,
    relations: Sequence[Relation],
    read: Mapping[int, Sequence[_Conditions]],
) -> Iterator[LeftOut]:
    """The columns that all policies test which ask for the caller as the function does."""
    called = {name[-1] for name in parse_trees.calls(trees)}
    guards: set[object] = {f.signature for f in catalog.functions if f.name in called}
    guards |= usage.conditions.own[function.oid]
    for relation in relations:
        same = [one for one in read[relation.oid] if one.guards & guards]
        tested = frozenset.intersection(*(one.columns for one in same)) if same else frozenset()
        for column in sorted(tested - usage.conditions.tested[function.oid]):
            yield LeftOut(
                function=function.signature,
                table=relation.label,
                column=column,
                policy=same[0].policy,
            )


def _of_recursion(
    usage: Usage, function: Function, trees: Any, relations: Sequence[Relation]
) -> Iterator[LeftOut]:
    """The columns on which policies depend that a recursive query tests of the first rows only."""
    for first, then in queries.recursions(trees):
        for relation in relations:
            begins, goes_on = _tested(first, relation), _tested(then, relation)
            if goes_on is None:
                continue
            keys = {name for key in relation.foreign_keys for name in key.columns}
            for column in sorted((begins or set()) - goes_on - {*relation.primary_key, *keys}):
                if (relation.oid, column) in usage.mentions.mentioned:
                    yield LeftOut(
                        function=function.signature,
                        table=relation.label,
                        column=column,
                        policy="",
                    )


def _tested(select: Any, relation: Relation) -> set[str] | None:
    """The columns of a table in the conditions of a query; None if it does not read the table."""
    scopes = parse_trees.tables_of(select)
    own = {alias for alias, name in scopes.items() if name in (relation.name, relation.label)}
    if not own:
        return None
    named = queries.references([select.get("whereClause"), select.get("fromClause")])
    return {r.column for r in named if r.table in own or (r.table is None and len(scopes) == 1)}


def _of_secret(
    catalog: Catalog,
    usage: Usage,
    function: Function,
    relations: Sequence[Relation],
    found: Sequence[int],
) -> Iterator[LeftOut]:
    """The columns by which policies tell rows apart that are below one found by a secret."""
    for relation in relations if found and function.oid not in usage.conditions.asking else ():
        if relation.oid in found or not any(k.target in found for k in relation.foreign_keys):
            continue
        for policy in relation.policies:
            text = policy.checked or policy.visible
            conditions = _read(catalog, usage, relation, policy, text)
            for column in sorted(conditions.columns - usage.conditions.tested[function.oid]):
                if len(usage.constants.literals.get((relation.oid, column), ())) > 1:
                    yield LeftOut(
                        function=function.signature,
                        table=relation.label,
                        column=column,
                        policy=policy.name,
                        is_below=True,
                    )


def _read(
    catalog: Catalog, usage: Usage, relation: Relation, policy: Policy, text: str | None
) -> _Conditions:
    """The conditions of an expression of a policy that all have to be true."""
    columns, guards = set[str](), set[object]()
    for part in _conjuncts(None if text is None else parse_trees.expression_tree(text)):
        names = {one.column for one in queries.references(part)}
        called = {name[-1] for name in parse_trees.calls(part)}
        asked = [
            f for f in catalog.functions if f.name in called and f.oid in usage.conditions.asking
        ]
        keys = {(relation.oid, name) for name in names}
        if asked:
            guards |= {f.signature for f in asked}
        elif len(keys) == 1 and keys <= usage.persons.owners:
            guards |= keys
        elif len(keys) == 1 and not parse_trees.tables(part):
            columns |= names & relation.by_name.keys()
    return _Conditions(policy.name, frozenset(columns), frozenset(guards))


def _conjuncts(tree: Any) -> Iterator[Any]:
    """The parts of an expression that all have to be true."""
    if isinstance(tree, dict) and tree.get("BoolExpr", {}).get("boolop") == "AND_EXPR":
        for part in tree["BoolExpr"]["args"]:
            yield from _conjuncts(part)
    else:
        yield tree
