"""The columns of a row that a policy leaves to the person in it, and at which something else of the
project looks: a helper that asks for the state of this person, a trigger or policy that sets it in
new rows, a function that sets it after checks.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from supabase_jobs.audit.catalog import Catalog, Column, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import printed
from supabase_jobs.audit.policies.tested import Closed, naming, tests, untested, written
from supabase_jobs.audit.policies.usage.triggers import REFUSAL
from supabase_jobs.audit.policies.uses import ColumnKey, Usage

_USER = "authenticated"
_CALLERS = {"anon", _USER}
_INSERT, _UPDATE, _SELECT = "insert", "update", "select"


@dataclass(frozen=True)
class Elsewhere:
    """The columns that `persons` of a row choose, or its group if there are none, each with the
    `places` that look at it.
    """

    persons: Sequence[str]
    columns: Mapping[str, Sequence[str]]


class DecidedElsewhere:
    """The columns of a project about which it decides in another place than their policies."""

    def __init__(self, catalog: Catalog, usage: Usage, per_user: Collection[int]) -> None:
        """`per_user` are the tables of which each user has a row, where a flag that shows it is the
        user's own.
        """
        self._catalog, self._usage, self._per_user = catalog, usage, per_user

    def of_table(self, relation: Relation, closed: Mapping[str, Closed]) -> Elsewhere | None:
        """Those of a table; `closed` has its columns with few values."""
        owners = [n for n in relation.by_name if (relation.oid, n) in self._usage.persons.owners]
        persons = set[str]()
        found: dict[str, dict[str, None]] = {}
        updating = self._policies(relation, _UPDATE)
        kept = self._kept(relation) if updating else set[str]()
        for policy in updating:
            named = naming(relation, tests(relation, policy.visible), owners)
            after = written(relation, policy).mentioned
            for column in (
                c for c in relation.columns if self._is_free(relation, c, {*after, *kept})
            ):
                places = [*self._unguarded(relation, column)]
                if named:
                    places += self._places(relation, column, named, closed, owners)
                if places:
                    persons |= named
                    found.setdefault(column.name, {}).update(dict.fromkeys(places))
        if not found:
            return None
        return Elsewhere(
            persons=[name for name in relation.by_name if name in persons],
            columns={name: [*places] for name, places in found.items()},
        )

    def _policies(self, relation: Relation, command: str) -> list[Policy]:
        applying = [p for p in relation.policies if p.permissive and p.applies_to(_USER)]
        return [p for p in applying if p.governs(command)]

    def _is_free(self, relation: Relation, column: Column, mentioned: Collection[str]) -> bool:
        """Whether a person may set a column of a changed row to anything."""
        name = column.name
        keys = [*relation.unique_keys, *(key.columns for key in relation.foreign_keys)]
        if name in mentioned or any(name in columns for columns in keys):
            return False
        return relation.may(_USER, "UPDATE", name) and not column.generated

    def _kept(self, relation: Relation) -> set[str]:
        """The columns that restrictive policies or triggers name, but for those that a trigger sets
        in new rows.
        """
        restrictive = [p for p in relation.policies if not p.permissive and p.governs(_UPDATE)]
        kept = {n for p in restrictive for n in written(relation, p).mentioned}
        set_ = {name for oid, name in self._usage.triggers.computed if oid == relation.oid}
        return kept | (self._triggered(relation) - set_)

    def _unguarded(self, relation: Relation, column: Column) -> Iterator[str]:
        """The functions that read a number of a row that no user adds, and of which a trigger
        guards other columns, such as the limits of a plan beside the plan.
        """
        is_guarded = any(oid == relation.oid for oid, _ in self._usage.triggers.frozen)
        is_number = column.category == "N" and column.starts_constant
        if not is_guarded or not is_number or self._policies(relation, _INSERT):
            return
        for function in self._catalog.functions:
            words = {*re.findall(r"\w+", function.body)}
            if {column.name, relation.name} <= words:
                yield function.signature

    def _triggered(self, relation: Relation) -> set[str]:
        """The words of the table's triggers."""
        bodies = [f.body for f in self._catalog.functions if f.oid in relation.triggers]
        return {*re.findall(r"\w+", " ".join(bodies))}

    def _places(
        self,
        relation: Relation,
        column: Column,
        persons: Collection[str],
        closed: Mapping[str, Closed],
        owners: Collection[str],
    ) -> Iterator[str]:
        """The places that look at a column of the row of a person."""
        key = relation.oid, column.name
        own = {(relation.oid, name) for name in persons}
        for function in self._deciding:
            is_own = bool(own & self._usage.conditions.own.get(function.oid, set()))
            if is_own and self._asks(function, key):
                yield function.signature
        for function in self._checking:
            if key in self._usage.bodies.sets.get(function.oid, ()):
                yield function.signature
        if key in self._usage.triggers.computed:
            yield "a trigger for new rows"
        adding = self._policies(relation, _INSERT)
        by_persons = any(
            naming(relation, written(relation, p), owners) & {*persons} for p in adding
        )
        is_stated = column.category == "N" and column.is_demanded and not by_persons
        is_pinned = any(untested(relation, _USER, owners).get(column.name, ()))
        if is_pinned or (adding and is_stated):
            yield from (f'policy "{policy.name}"' for policy in adding)
        if relation.oid not in self._per_user:
            yield from self._showing(relation, column, closed, owners)

    def _asks(self, function: Function, key: ColumnKey) -> bool:
        """Whether a function compares a column with a constant or with now, or returns it to what
        does.
        """
        usage, oid = self._usage, function.oid
        compared = (usage.conditions.demands, usage.conditions.later, usage.conditions.earlier)
        if any(key in columns.get(oid, ()) for columns in compared):
            return True
        is_named = re.search(rf"\b{key[1]}\b", function.body) is not None
        return is_named and key in usage.constants.selected

    @cached_property
    def _deciding(self) -> list[Function]:
        """The helpers of policies, and the functions that refuse and write."""
        called = self._usage.policies.policy_functions.values()
        helpers = {name for names in called for name in names}
        return [f for f in self._catalog.functions if f.signature in helpers or f in self._checking]

    @cached_property
    def _checking(self) -> list[Function]:
        """The functions for users that write with the rights of their owner after checks."""
        return [
            f
            for f in self._catalog.functions
            if f.definer and f.result != "trigger" and not _CALLERS.isdisjoint(f.callers)
            if REFUSAL.search(f.body) and f.oid in self._usage.conditions.asking
        ]

    def _showing(
        self,
        relation: Relation,
        column: Column,
        closed: Mapping[str, Closed],
        owners: Collection[str],
    ) -> Iterator[str]:
        """The policies that show a row to others by a value that it has at first, so that somebody
        hides it.
        """
        first = closed[column.name].first if column.name in closed else ()
        for policy in self._policies(relation, _SELECT):
            for text in printed.alternatives(policy.visible or "true", LIMITS.alternatives):
                one = tests(relation, text)
                demand = one.demands.get(column.name)
                is_shown = demand is not None and bool(demand.values & {*first})
                if is_shown and not naming(relation, one, owners):
                    yield f'policy "{policy.name}"'
