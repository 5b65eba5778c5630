"""Times and states that decide about a row in one place of a project, and that another one leaves
out: a policy that shows what is not published yet, a helper that counts a pass after its end, a
trigger that guards changed rows and not new ones.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Column, Function, Policy, Relation
from supabase_jobs.audit.policies import expressions, parse_trees, printed
from supabase_jobs.audit.policies.expressions import Literal, Reference
from supabase_jobs.audit.policies.tested import Closed, demanded, naming, tests, written
from supabase_jobs.audit.policies.usage.triggers import CONDITION, NEW, OLD, REFUSAL
from supabase_jobs.audit.policies.uses import Usage

_TIMES = ("date", "timestamp", "timestamptz")
_WRITES = ("INSERT", "UPDATE")
_USER = "authenticated"


class Gap(StrEnum):
    """The thing that is left out, as ids name it."""

    FUTURE = "future"  # a policy shows a row once a time is set
    OTHER_STATE = "other-state"  # a policy leaves out one state, and others demand another one
    END = "end"  # a helper does not ask for a time that others compare with now
    NEW_ROW = "new-row"  # a trigger refuses a value in changed rows only
    ENDED_LOCK = "ended-lock"  # a trigger keeps columns while another one is set, and not that one


@dataclass(frozen=True, kw_only=True)
class LooseState:
    """A column of a table that something leaves out: the policy or function `where`. `elsewhere`
    is the place where the column decides. `values` are the states in question, or the columns that
    a trigger keeps.
    """

    gap: Gap
    table: str
    column: str
    where: str
    elsewhere: str = ""
    values: tuple[str, ...] = ()


def find(
    catalog: Catalog,
    usage: Usage,
    relation: Relation,
    closed: Mapping[str, Closed],
    *,
    is_membership: bool,
) -> Iterator[LooseState]:
    """The gaps of one table. `closed` has its columns with few values."""
    for policy in relation.policies:
        is_shown = policy.permissive and policy.governs("select") and policy.visible is not None
        for text in _for_others(usage, relation, policy) if is_shown else ():
            yield from _of_future(relation, policy, text)
        for text in _open_alternatives(usage, catalog, policy) if is_shown else ():
            yield from _of_states(catalog, usage, relation, policy, text, closed)
    yield from _of_ends(catalog, usage, relation)
    functions = {f.oid: f for f in catalog.functions}
    for oid in relation.triggers:
        function = functions.get(oid)
        if function is None or oid in relation.insert_triggers:
            continue
        if REFUSAL.search(function.body):
            yield from _of_new_rows(relation, function, closed) if is_membership else ()
            yield from _of_locks(relation, function)


def _open_alternatives(usage: Usage, catalog: Catalog, policy: Policy) -> Iterator[str]:
    """The alternatives of a policy that ask nothing of their caller."""
    asking = {f.name for f in catalog.functions if f.oid in usage.conditions.asking}
    for text in printed.operands(policy.visible or "", "OR"):
        tree = parse_trees.expression_tree(text)
        called = {call[-1] for call in parse_trees.calls(tree)}
        if not (expressions.request_values(tree) or called & asking or parse_trees.tables(tree)):
            yield text


def _for_others(usage: Usage, relation: Relation, policy: Policy) -> Iterator[str]:
    """The alternatives of a policy that show rows to others than the person in them; not those for
    a trash, which another policy or function leaves out.
    """
    owners = [name for name in relation.by_name if (relation.oid, name) in usage.persons.owners]
    for text in printed.operands(policy.visible or "", "OR"):
        found = tests(relation, text)
        is_trash = any((relation.oid, name) in usage.mentions.nulls for name in found.mentioned)
        if not naming(relation, found, owners) and not (found.others and is_trash):
            yield text


def _of_future(relation: Relation, policy: Policy, text: str) -> Iterator[LooseState]:
    """A time that only has to be set, and that users write."""
    tree = parse_trees.expression_tree(text)
    compared = list(expressions.comparisons(tree))
    for one in compared:
        column = _column(relation, one.left)
        if column is None or column.base not in _TIMES:
            continue
        if one.operator != expressions.IS_NOT_NULL or not _is_written(relation, column.name):
            continue
        others = [c for c in compared if c is not one and _column(relation, c.left) is column]
        if not others:
            yield LooseState(
                gap=Gap.FUTURE, table=relation.label, column=column.name, where=policy.name
            )


def _of_states(
    catalog: Catalog,
    usage: Usage,
    relation: Relation,
    policy: Policy,
    text: str,
    closed: Mapping[str, Closed],
) -> Iterator[LooseState]:
    """The states that a policy does not leave out, where others demand one."""
    excluded: dict[str, set[str]] = {}
    for one in expressions.comparisons(parse_trees.expression_tree(text)):
        column = _column(relation, one.left)
        if column is None or not isinstance(one.right, Literal) or one.operator != "<>":
            continue
        excluded.setdefault(column.name, set()).add(one.right.text)
    for name, texts in excluded.items():
        known = closed[name].values if name in closed else ()
        wanted = {v for v in known if v in {*_demanded(catalog, usage, relation, name)}} - texts
        values = tuple(v for v in known if v not in texts | wanted)
        if wanted and values and relation.by_name[name].base != "bool":
            yield LooseState(
                gap=Gap.OTHER_STATE,
                table=relation.label,
                column=name,
                where=policy.name,
                elsewhere=" or ".join(sorted(wanted)),
                values=values,
            )


def _demanded(
    catalog: Catalog, usage: Usage, relation: Relation, column: str
) -> Iterator[str | None]:
    """The values of a column that functions which only read, and policies of other tables, demand
    of a row.
    """
    for function in catalog.functions:
        if function.volatility != "v":
            yield usage.conditions.demands.get(function.oid, {}).get((relation.oid, column))
    for other in catalog.relations:
        if other is not relation and relation.oid in usage.reads.get(other.oid, ()):
            for policy in other.policies:
                yield from (value for name, value in demanded(policy) if name == column)


def _of_ends(catalog: Catalog, usage: Usage, relation: Relation) -> Iterator[LooseState]:
    """The helpers that look for a row of their caller and not for its end."""
    helpers = {name for called in usage.policies.policy_functions.values() for name in called}
    for column in relation.columns:
        key = relation.oid, column.name
        asking = [f for f in catalog.functions if key in usage.conditions.later.get(f.oid, ())]
        for function in catalog.functions if asking else ():
            own = {oid for oid, _ in usage.conditions.own.get(function.oid, ())}
            is_helper = function.signature in helpers and relation.oid in own
            if is_helper and not re.search(rf"\b{re.escape(column.name)}\b", function.body):
                yield LooseState(
                    gap=Gap.END,
                    table=relation.label,
                    column=column.name,
                    where=function.signature,
                    elsewhere=asking[0].signature,
                )


def _of_new_rows(
    relation: Relation, function: Function, closed: Mapping[str, Closed]
) -> Iterator[LooseState]:
    """The values that a trigger refuses in changed rows, and no policy tests in new ones."""
    adding = [p for p in relation.policies if p.permissive and p.governs("insert")]
    adding = [p for p in adding if p.applies_to(_USER)]
    named = {name for policy in adding for name in written(relation, policy).mentioned}
    for one in (c for tree in _conditions(function) for c in expressions.comparisons(tree)):
        column = _column(relation, one.left, "new")
        if column is None or not isinstance(one.right, Literal) or not adding:
            continue
        is_free = column.name in closed and column.name not in named
        if is_free and relation.may(_USER, "INSERT", column.name):
            yield LooseState(
                gap=Gap.NEW_ROW,
                table=relation.label,
                column=column.name,
                where=function.signature,
                values=(one.right.text,),
            )


def _of_locks(relation: Relation, function: Function) -> Iterator[LooseState]:
    """The columns while whose value a trigger keeps others, and that its condition leaves free."""
    for text in CONDITION.findall(function.body):
        old, new = {*OLD.findall(text)}, {*NEW.findall(text)}
        kept = [name for name in relation.by_name if name in old & new]
        free = [name for name in relation.by_name if name in old - new]
        body = {*NEW.findall(function.body)}
        for name in free if kept else ():
            if name not in body and _is_written(relation, name, ["UPDATE"]):
                yield LooseState(
                    gap=Gap.ENDED_LOCK,
                    table=relation.label,
                    column=name,
                    where=function.signature,
                    values=tuple(kept),
                )


def _conditions(function: Function) -> Iterator[Any]:
    for text in CONDITION.findall(function.body):
        yield parse_trees.expression_tree(text.strip())


def _column(relation: Relation, side: object, table: str | None = None) -> Column | None:
    """The column of the table that a side of a comparison is; in a trigger of the new row."""
    if not isinstance(side, Reference) or (table is not None and side.table != table):
        return None
    return relation.by_name.get(side.column)


def _is_written(relation: Relation, column: str, writes: Collection[str] = _WRITES) -> bool:
    """Whether users may write the column, and no policy for it names the column."""
    applying = [policy for policy in relation.policies if policy.applies_to(_USER)]
    for write in writes:
        accepting = [policy for policy in applying if policy.governs(write.lower())]
        named = {name for policy in accepting for name in written(relation, policy).mentioned}
        is_accepted = any(policy.permissive for policy in accepting)
        if is_accepted and column not in named and relation.may(_USER, write, column):
            return True
    return False
