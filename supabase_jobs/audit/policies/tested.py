"""The columns whose value policies test in new rows of a caller, and not in changed ones."""

import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supabase_jobs.audit.catalog import Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, printed, truth
from supabase_jobs.audit.policies.expressions import Literal, Reference

# functions that a test of a value may call: those of the time
CLOCKS = ("now", "clock_timestamp", "statement_timestamp", "transaction_timestamp")
_INSERT, _UPDATE = "insert", "update"
# whether the first of two positions is in the order that an operator demands
_ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "<>": operator.ne,
}


@dataclass(frozen=True)
class _Demand:
    """A condition that a column must meet by itself: it has one of these values as text, `null`
    among them as ''; any, if the values are not constants.
    """

    column: str
    values: frozenset[str]


@dataclass(frozen=True)
class Tests:
    """The conditions of a policy on a row that is written: of a column by itself, and others."""

    demands: Mapping[str, _Demand]
    others: Collection[str]
    mentioned: Collection[str]


def untested(
    relation: Relation, role: str, owners: Collection[str]
) -> Mapping[str, Collection[str]]:
    """Column → the values that a new row may have, if a caller who inserts rows may change that
    column of theirs untested. `owners` are the columns that policies compare with the caller.

    Who inserts a row may change it if the two policies have a condition, or such a column, in
    common. No value: any, as of a time that is compared with now.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(role)]
    inserting = [p for p in applying if p.governs(_INSERT)]
    updating = [p for p in applying if p.governs(_UPDATE)]
    always = [written(relation, p) for p in inserting if not p.permissive]
    kept = {n for p in updating if not p.permissive for n in written(relation, p).mentioned}
    found: dict[str, Collection[str]] = {}
    for change in (p for p in updating if p.permissive):
        same = [
            written(relation, p)
            for p in inserting
            if p.permissive and _is_of_same_caller(relation, p, change, owners)
        ]
        tested = _in_each(same) | _in_any(always if same else ())
        mentioned = {*kept, *written(relation, change).mentioned}
        found |= {name: one.values for name, one in tested.items() if name not in mentioned}
    return found


def begun(relation: Relation, role: str) -> Collection[str]:
    """The columns of which each policy that accepts a new row demands a value."""
    adding = [p for p in relation.policies if p.applies_to(role) and p.governs(_INSERT)]
    return _in_each([written(relation, policy) for policy in adding if policy.permissive]).keys()


def later(relation: Relation, role: str) -> Collection[str]:
    """The columns that each policy names which accepts a changed row, and none that accepts a new
    one.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(role)]
    adding = [p for p in applying if p.governs(_INSERT)]
    changing = [p for p in applying if p.permissive and p.governs(_UPDATE)]
    if not changing or not any(policy.permissive for policy in adding):
        return set()
    named = set.intersection(*({*written(relation, p).mentioned} for p in changing))
    return named.difference(*(written(relation, p).mentioned for p in adding))


def kept(relation: Relation, role: str) -> Collection[str]:
    """The columns that some permissive policy tests by themselves in changed rows."""
    applying = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    updating = [p for p in applying if p.governs(_UPDATE)]
    return {name for policy in updating for name in written(relation, policy).demands}


def beside(relation: Relation, role: str) -> Collection[str]:
    """The columns that a policy does not name which accepts no row as it was: they change beside
    the column that has to, such as the state of a step.
    """
    applying = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    found = set[str]()
    for policy in (p for p in applying if p.governs(_UPDATE)):
        old, new = tests(relation, policy.visible), written(relation, policy)
        moved = [name for name in old.demands if _has_to_change(old, new, name)]
        found |= relation.by_name.keys() - {*new.mentioned} if moved else set()
    return found


def _has_to_change(old: Tests, new: Tests, column: str) -> bool:
    """Whether some value of an old row is refused after its change."""
    if column in new.demands:
        return not old.demands[column].values <= new.demands[column].values
    compared = expressions.comparisons([parse_trees.expression_tree(text) for text in new.others])
    is_set = any(
        one.operator == expressions.IS_NOT_NULL
        and isinstance(one.left, Reference)
        and one.left.column == column
        for one in compared
    )
    return is_set and "" in old.demands[column].values


@dataclass(frozen=True)
class Closed:
    """All values of a column that has few, and those that a row has at first."""

    values: Sequence[str]
    first: Collection[str]


@dataclass(frozen=True)
class Left:
    """The `values` of a column that a policy accepts in no changed row of its owner, although it
    does not look at the column of the old one; it accepts those that a row has at `first`.
    """

    values: Sequence[str]
    first: Sequence[str]


def left(
    relation: Relation, role: str, owners: Collection[str], closed: Mapping[str, Closed]
) -> Mapping[str, Left]:
    """Column → the values that only others set, and that the owner of a row takes back; none if
    somebody else may insert a row with any of them. `closed` has the columns with few values.
    """
    applying = [policy for policy in relation.policies if policy.applies_to(role)]
    inserting = [p for p in applying if p.permissive and p.governs(_INSERT)]
    updating = [p for p in applying if p.governs(_UPDATE)]
    kept_ = {n for p in updating if not p.permissive for n in written(relation, p).mentioned}
    starts = [written(relation, policy) for policy in inserting]
    by_others = [one for one in starts if not naming(relation, one, owners)]
    found: dict[str, Left] = {}
    for change in (p for p in updating if p.permissive and p.checked is not None):
        new, old = written(relation, change), tests(relation, change.visible)
        if not naming(relation, old, owners):
            continue
        for name in new.demands.keys() & closed.keys() - kept_ - {*old.mentioned}:
            inserted = [one.demands[name].values for one in starts if name in one.demands]
            first = frozenset(closed[name].first).union(*inserted)
            accepted = first & new.demands[name].values
            values = {*closed[name].values} - new.demands[name].values - first
            if values and accepted and all(name in one.mentioned for one in by_others):
                found[name] = Left(sorted(values), sorted(accepted))
    return found


def naming(relation: Relation, conditions: Tests, owners: Collection[str]) -> set[str]:
    """Those of some columns that a condition compares with the caller, without a helper."""
    found = set[str]()
    for condition in conditions.others:
        for one in expressions.comparisons(parse_trees.expression_tree(condition)):
            sides = (one.left, one.right)
            columns = {side.column for side in sides if isinstance(side, Reference)}
            if expressions.USER_ID in sides:
                found |= columns & {*owners} & {*relation.by_name}
    return found


def is_of_anybody(relation: Relation, policy: Policy) -> bool:
    """Whether a policy demands nothing of a new row but constants in some columns."""
    return not written(relation, policy).others


def demanded(policy: Policy) -> list[tuple[str, str | None]]:
    """The columns, of any table, that a policy compares with a constant, and that constant; false
    of a flag that is negated.
    """
    texts = [text for text in (policy.visible, policy.checked) if text is not None]
    trees = [parse_trees.expression_tree(text) for text in texts]
    found: list[tuple[str, str | None]] = [
        (one.left.column, one.right.text)
        for one in expressions.comparisons(trees)
        if one.operator == "="
        and isinstance(one.left, Reference)
        and isinstance(one.right, Literal)
    ]
    for node in parse_trees.nodes(trees, "BoolExpr"):
        flag = expressions.value(node["args"][0])
        if node["boolop"] == "NOT_EXPR" and isinstance(flag, Reference):
            found.append((flag.column, "false"))
    return found


def pins(relation: Relation, policy: Policy) -> bool:
    """Whether a policy accepts only constants in some column of a new row, as in a request that
    somebody else grants.
    """
    return any(demand.values for demand in written(relation, policy).demands.values())


def shows_only(relation: Relation, policy: Policy, column: str, value: str) -> bool:
    """Whether a policy shows only rows with this value of a column; '' is null."""
    demand = tests(relation, policy.visible).demands.get(column)
    return demand is not None and bool(demand.values) and demand.values <= _texts(value)


def _is_of_same_caller(
    relation: Relation, insert: Policy, change: Policy, owners: Collection[str]
) -> bool:
    new, old = written(relation, insert), tests(relation, change.visible)
    return bool({*new.others} & {*old.others}) or any(
        name in _named(relation, new.others) & _named(relation, old.others) for name in owners
    )


def written(relation: Relation, policy: Policy) -> Tests:
    """The conditions of a policy on a new row, or on a row as it is after its change."""
    return tests(relation, policy.checked or policy.visible)


def tests(relation: Relation, text: str | None) -> Tests:
    """The conditions of an expression; None is one that is true."""
    demands, others = dict[str, _Demand](), list[str]()
    for condition in conjuncts(text or "true"):
        demand = _demand(relation, parse_trees.expression_tree(condition))
        if demand is None:
            others += [] if condition == "true" else [condition]
        elif demand.values or demand.column not in demands:
            demands[demand.column] = demand
    return Tests(demands, others, {*demands, *_named(relation, others)})


def conjuncts(text: str) -> Iterator[str]:
    """The operands of AND, without their parentheses."""
    operands = printed.operands(text, "AND")
    for operand in operands:
        yield from [operand] if operands == [operand] else conjuncts(operand)


def _in_each(policies: Sequence[Tests]) -> dict[str, _Demand]:
    """The demands that all of some policies have, with what any of them accepts."""
    found = dict[str, _Demand]()
    for name in policies[0].demands if policies else ():
        if all(name in one.demands for one in policies):
            accepted = [one.demands[name].values for one in policies]
            values = frozenset().union(*accepted) if all(accepted) else frozenset[str]()
            found[name] = _Demand(name, values)
    return found


def _in_any(policies: Iterable[Tests]) -> dict[str, _Demand]:
    return {name: demand for one in policies for name, demand in one.demands.items()}


def _named(relation: Relation, conditions: Iterable[str]) -> set[str]:
    """The columns of a table that conditions name, its helpers' arguments included."""
    trees = [parse_trees.expression_tree(condition) for condition in conditions]
    return {name for name, _ in _columns(relation, trees)}


def _columns(relation: Relation, tree: Any) -> Iterator[tuple[str, Reference]]:
    for fields in parse_trees.nodes(tree, "ColumnRef"):
        named = expressions.value({"ColumnRef": fields})
        if isinstance(named, Reference) and named.column in relation.by_name:
            yield named.column, named


def _demand(relation: Relation, tree: Any) -> _Demand | None:
    """The demand that a condition makes of one column, without a query or the caller."""
    names = {name for name, _ in _columns(relation, tree)}
    calls = parse_trees.calls(tree)
    is_plain = not any(parse_trees.nodes(tree, "SubLink"))
    if len(names) != 1 or not is_plain or any(call[-1] not in CLOCKS for call in calls):
        return None
    [name] = names
    if any(parse_trees.nodes(tree, "NullTest")):
        is_null = "NullTest" in tree and tree["NullTest"]["nulltesttype"] == expressions.IS_NULL
        return _Demand(name, frozenset([""])) if is_null else None
    if "ColumnRef" in tree:
        return _Demand(name, _texts("true"))
    if truth.excludes(tree):
        [negated] = tree["BoolExpr"]["args"]
        return _Demand(name, _texts("false")) if "ColumnRef" in negated else None
    # what is compared with a time beside now may be a constant
    compared = [one for one in expressions.comparisons(tree) if not _is_beside_now(one.right)]
    constants = [one.right for one in compared if isinstance(one.right, Literal)]
    if len(constants) < len(compared):
        return None
    operators = {one.operator for one in compared}
    if operators <= {"="}:
        return _Demand(name, frozenset().union(*(_texts(one.text) for one in constants)))
    labels = relation.by_name[name].labels
    if len(compared) == 1 and isinstance(compared[0].left, Reference) and "A_Expr" in tree:
        return _demand_of_labels(name, compared[0].operator, constants[0].text, labels)
    return None  # of a range, the values that are refused are not known


def _is_beside_now(value: expressions.Value) -> bool:
    return isinstance(value, expressions.Now) and bool(value.beside)


def _demand_of_labels(name: str, order: str, bound: str, labels: Sequence[str]) -> _Demand | None:
    """The demand that an enum is before or behind one of its labels."""
    is_in_order = _ORDERS.get(order)
    if is_in_order is None or bound not in labels:
        return None
    at = labels.index(bound)
    values = [label for n, label in enumerate(labels) if is_in_order(n, at)]
    return _Demand(name, frozenset(values))


def _texts(constant: str) -> frozenset[str]:
    """A constant as requests write it: of a boolean, its letter too."""
    short = {"true": "t", "false": "f"}.get(constant, constant)
    return frozenset([constant, short])
