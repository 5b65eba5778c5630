"""Policies of one table for writes that ask for less than another one asks of the same person: for
a state of the row above, or for a role.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Column, Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, printed, queries
from supabase_jobs.audit.policies.expressions import NOW, Literal, Reference
from supabase_jobs.audit.policies.tested import conjuncts, naming, tests
from supabase_jobs.audit.policies.uses import Usage

_USER = "authenticated"
_INSERT, _UPDATE, _DELETE = "insert", "update", "delete"
# what a condition demands of a column, besides a constant: no value, or a time to come
_NULL, _LATER = "null", "later"


class Uneven(StrEnum):
    """The thing for which one policy asks, and another one does not."""

    STATE_OF_NEW = "new"  # the state of the row above: of changed rows, and not of new ones
    STATE_OF_CHANGED = "changed"  # the reverse
    ROLE = "role"  # a role: of who adds rows, and not of who changes them
    ROLE_OF_DELETE = "role-of-delete"  # of who changes or adds rows, and not of who deletes them
    SIBLINGS = "siblings"  # of who adds rows of other tables
    ROLE_AFTER = "role-after"  # of who changes a row, before the change, and not after it
    VALUE = "value"  # a value that a row must not get, of rows that are deleted
    UNSEEN = "unseen"  # the role without which a flag hides rows: of who reads, and not of who adds
    LOCK = "lock"  # that a row which refuses something does not name who deletes it


@dataclass(frozen=True)
class UnevenWrite:
    """The `policy` of a table that asks for less than an`other` one, about these columns: of the
    table, or of one above it.
    """

    what: Uneven
    table: str
    columns: tuple[str, ...]
    policy: str
    other: str


@dataclass(frozen=True)
class _Role:
    """A condition about the caller's role: `about` are the columns of the row and the tables that
    it reads, `function` is the helper, `given` are the constants of the condition, each of which
    suffices, and `inner` the columns with the constants that the helper demands.
    """

    about: tuple[frozenset[str], frozenset[str]]
    function: str
    given: frozenset[str]
    inner: frozenset[tuple[str, str]]

    def is_weaker(self, other: "_Role") -> bool:
        """Whether more roles than those of another condition meet this one."""
        if self.about != other.about:
            return False
        if self.function == other.function:
            return bool(other.given) and (not self.given or self.given > other.given)
        more = other.inner - self.inner
        columns = {column for column, _ in self.inner}
        is_more = bool(other.given) or bool(more)
        is_wider = self.inner <= other.inner and columns.isdisjoint(column for column, _ in more)
        return is_wider and is_more and not self.given


@dataclass(frozen=True)
class _Alternative:
    """A condition that suffices for a row: the columns that it compares with the caller, the
    columns of rows above whose state it tests, those of them that the row above meets at first, and
    the roles that it demands.
    """

    policy: str
    persons: frozenset[str]
    states: frozenset[str]
    closing: frozenset[str]
    roles: tuple[_Role, ...]


class UnevenWrites:
    """The policies of a project that ask for less than others of their table."""

    def __init__(self, catalog: Catalog, usage: Usage) -> None:
        self._catalog, self._usage = catalog, usage
        self._known: dict[tuple[int, str, str], Sequence[_Alternative]] = {}
        self._functions: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._functions.setdefault(function.name, []).append(function)

    def of_table(self, relation: Relation) -> Iterator[UnevenWrite]:
        """The differences between new and changed rows, and before and after a change."""
        adding, deleting = self._adding(relation), list[_Alternative]()
        before, after = list[_Alternative](), list[_Alternative]()
        for policy in relation.policies:
            if not policy.permissive or not policy.applies_to(_USER):
                continue
            if policy.governs(_DELETE) and policy.visible and relation.may(_USER, "DELETE"):
                deleting += self._alternatives(relation, policy.name, policy.visible)
            if policy.governs(_UPDATE) and policy.visible and relation.may(_USER, "UPDATE"):
                before += self._alternatives(relation, policy.name, policy.visible)
                if policy.checked is not None:
                    after += self._alternatives(relation, policy.name, policy.checked)
        yield from self._of_states(relation, Uneven.STATE_OF_NEW, adding, before)
        yield from self._of_states(relation, Uneven.STATE_OF_CHANGED, before, adding)
        yield from _of_roles(relation, Uneven.ROLE, before, adding)
        yield from _of_roles(relation, Uneven.ROLE_OF_DELETE, deleting, [*before, *adding])
        yield from _of_values(relation)
        for name in dict.fromkeys(one.policy for one in after):
            old_rows = [one for one in before if one.policy == name]
            new_rows = [one for one in after if one.policy == name]
            yield from _of_roles(relation, Uneven.ROLE_AFTER, new_rows, old_rows)

    def of_siblings(self, relations: Iterable[Relation]) -> Iterator[UnevenWrite]:
        """The tables to which a helper admits everybody whom it knows, if it asks for a role where
        rows are added to more of the other tables.
        """
        by_helper: dict[str, list[tuple[Relation, str, _Role]]] = {}
        for relation in relations:
            for one in self._adding(relation):
                for role in one.roles:
                    found = by_helper.setdefault(role.function, [])
                    found.append((relation, one.policy, role))
        for found in by_helper.values():
            asking = {relation.label for relation, _, role in found if role.given}
            others = [one for one in found if one[0].label not in asking]
            if len(asking) <= max(1, len({relation.label for relation, _, _ in others})):
                continue
            for relation, policy, role in others:
                yield UnevenWrite(
                    what=Uneven.SIBLINGS,
                    table=relation.label,
                    columns=tuple(sorted(role.about[0])),
                    policy=policy,
                    other=", ".join(sorted(asking)),
                )

    def _adding(self, relation: Relation) -> list[_Alternative]:
        """The alternatives of the policies for new rows."""
        found = list[_Alternative]()
        for policy in relation.policies:
            new = policy.checked or policy.visible
            is_adding = policy.permissive and policy.applies_to(_USER) and policy.governs(_INSERT)
            if is_adding and new is not None and relation.may(_USER, "INSERT"):
                found += self._alternatives(relation, policy.name, new)
        return found

    def _of_states(
        self,
        relation: Relation,
        what: Uneven,
        asking_less: Iterable[_Alternative],
        asking_more: Iterable[_Alternative],
    ) -> Iterator[UnevenWrite]:
        """The states of rows above for which each condition of the same person asks, of one kind of
        write, and none of the other kind. Who changes a row passes by a state with which a row
        begins, such as a visit that is over.
        """
        guarded = self._guarded(relation)
        for less in asking_less:
            same = [one for one in asking_more if one.persons & less.persons]
            is_new = what is Uneven.STATE_OF_NEW
            states = [one.states if is_new else one.closing for one in same]
            asked = frozenset.intersection(*states) if same else frozenset()
            left_out = sorted(asked - less.states - guarded)
            if left_out:
                yield UnevenWrite(
                    what=what,
                    table=relation.label,
                    columns=tuple(left_out),
                    policy=less.policy,
                    other=same[0].policy,
                )

    def _guarded(self, relation: Relation) -> set[str]:
        """The columns of tables above that triggers or restrictive policies name."""
        bodies = [f.body for f in self._catalog.functions if f.oid in relation.triggers]
        policies = [p for p in relation.policies if not p.permissive]
        bodies += [text for p in policies for text in (p.visible, p.checked) if text]
        words = {*re.findall(r"\w+", " ".join(bodies))}
        targets = {key.target for key in relation.foreign_keys}
        parents = [r for r in self._catalog.relations if r.oid in targets]
        further = {key.target for parent in parents for key in parent.foreign_keys}
        parents += [r for r in self._catalog.relations if r.oid in further - targets]
        return {f"{r.label}.{name}" for r in parents for name in {*r.by_name} & words}

    def _alternatives(self, relation: Relation, policy: str, text: str) -> Sequence[_Alternative]:
        """The alternatives of a policy, which is often the same for several commands."""
        key = relation.oid, policy, text
        if key not in self._known:
            self._known[key] = list(self._read(relation, policy, text))
        return self._known[key]

    def _read(self, relation: Relation, policy: str, text: str) -> Iterator[_Alternative]:
        known = self._usage.persons.owners
        owners = [name for name in relation.by_name if (relation.oid, name) in known]
        for one in printed.alternatives(text, LIMITS.alternatives):
            parts = [parse_trees.expression_tree(part) for part in conjuncts(one)]
            states = [one for part in parts for one in self._states(relation, part, owners)]
            roles = (self._role(relation, part) for part in parts)
            yield _Alternative(
                policy=policy,
                persons=frozenset(naming(relation, tests(relation, one), owners)),
                states=frozenset(name for name, _ in states),
                closing=frozenset(name for name, is_closing in states if is_closing),
                roles=tuple(role for role in roles if role is not None),
            )

    def _states(
        self, relation: Relation, part: Any, owners: Collection[str]
    ) -> Iterator[tuple[str, bool]]:
        """The columns of rows above that a condition compares with constants or with now, and
        whether a row above meets it at first.
        """
        called = self._called(part)
        if not called and not any(parse_trees.nodes(part, "SubLink")):
            return
        keys = [key for key in relation.foreign_keys if not {*key.columns} & {*owners}]
        bodies = [parse_trees.body_trees(f.language, f.body) for f in called]
        for query in queries.conditions([part, *bodies]):
            [statement] = query.values()
            scopes = parse_trees.tables_of(statement)
            for parent, aliases in self._above({key.target for key in keys}, query, scopes):
                for name, demand in _tested(query, aliases, len(scopes) == 1):
                    if name in parent.by_name:
                        column = parent.by_name[name]
                        yield f"{parent.label}.{name}", demand in (_LATER, _first(column))

    def _above(
        self, targets: Collection[int | None], query: Any, scopes: Mapping[str, str]
    ) -> Iterator[tuple[Relation, list[str]]]:
        """The tables of a query with rows above, and those above them in the same query, with their
        aliases. What the query compares with the caller is no row above, but that of the caller.
        """
        own = _of_caller(query)
        found = dict[int, tuple[Relation, list[str]]]()
        for relation in self._catalog.tables:
            aliases = [a for a, n in scopes.items() if n in (relation.name, relation.label)]
            if aliases:
                found[relation.oid] = relation, aliases
        direct = found.keys() & targets
        keys = [key for oid in direct for key in found[oid][0].foreign_keys]
        further = found.keys() & {key.target for key in keys} - direct
        yield from (found[oid] for oid in sorted(direct))
        yield from (found[oid] for oid in sorted(further) if own.isdisjoint(found[oid][1]))

    def _role(self, relation: Relation, part: Any) -> _Role | None:
        """The role that a condition demands by a helper, of the row that it names."""
        named = {
            one.column
            for one in queries.references(part)
            if one.table in (None, relation.name) and one.column in relation.by_name
        }
        called = self._called(part)
        if len(called) != 1 or not named or called[0].oid not in self._usage.conditions.asking:
            return None
        [helper] = called
        read = frozenset(map(str, self._usage.bodies.function_reads.get(helper.oid, ())))
        body = parse_trees.body_trees(helper.language, helper.body)
        inner = {found for query in queries.conditions(body) for found in _constants(query)}
        values = {one for text in parse_trees.literals(part) for one in text.strip("{}").split(",")}
        return _Role(
            about=(frozenset(named), read),
            function=helper.name,
            given=frozenset(values),
            inner=frozenset(inner),
        )

    def _called(self, tree: Any) -> list[Function]:
        return [f for name in parse_trees.calls(tree) for f in self._functions.get(name[-1], ())]


def _of_values(relation: Relation) -> Iterator[UnevenWrite]:
    """The values that a policy refuses in a row as it is written, and not in one that is deleted:
    an editor who names no admin removes one.
    """
    for policy in relation.policies:
        is_deleting = policy.permissive and policy.applies_to(_USER) and policy.governs(_DELETE)
        if not is_deleting or policy.checked is None or not relation.may(_USER, "DELETE"):
            continue
        old = tests(relation, policy.visible).mentioned
        for one in expressions.comparisons(parse_trees.expression_tree(policy.checked)):
            left, right = one.left, one.right
            if one.operator != "<>" or not isinstance(right, Literal):
                continue
            if isinstance(left, Reference) and left.column not in old:
                yield UnevenWrite(
                    what=Uneven.VALUE,
                    table=relation.label,
                    columns=(f"{left.column} = {right.text}",),
                    policy=policy.name,
                    other=policy.name,
                )


def _lacks_role(less: _Alternative, more: _Alternative) -> bool:
    """Whether a condition about no person asks for all that another one does, but for a role by a
    further helper.
    """
    roles, others = {*less.roles}, {*more.roles} - {*less.roles}
    about = {role.about for role in roles}
    if less.persons or not roles < {*more.roles}:
        return False
    return any(one.about in about and (one.given or one.inner) for one in others)


def _of_roles(
    relation: Relation,
    what: Uneven,
    asking_less: Iterable[_Alternative],
    asking_more: Iterable[_Alternative],
) -> Iterator[UnevenWrite]:
    """The conditions about a role that are weaker than each one of the other kind about the same
    columns.
    """
    asking_more = [*asking_more]
    stronger = [(one.policy, role) for one in asking_more for role in one.roles]
    for less in asking_less:
        if asking_more and all(_lacks_role(less, one) for one in asking_more):
            yield UnevenWrite(
                what=what,
                table=relation.label,
                columns=tuple(sorted({name for role in less.roles for name in role.about[0]})),
                policy=less.policy,
                other=asking_more[0].policy,
            )
        for role in less.roles:
            same = [(name, one) for name, one in stronger if one.about == role.about]
            if same and all(role.is_weaker(one) for _, one in same):
                yield UnevenWrite(
                    what=what,
                    table=relation.label,
                    columns=tuple(sorted(role.about[0])),
                    policy=less.policy,
                    other=same[0][0],
                )


def _tested(query: Any, aliases: Collection[str], is_alone: bool) -> Iterator[tuple[str, str]]:
    """The columns of a table that a query compares with constants or with now, or that are
    conditions by themselves, each with what it demands.
    """
    for one in expressions.comparisons(query):
        for side, other in ((one.left, one.right), (one.right, one.left)):
            if not isinstance(side, Reference) or not _is_of(side, aliases, is_alone):
                continue
            if other == NOW:
                is_later = one.operator.startswith(">" if side is one.left else "<")
                yield side.column, _LATER if is_later else ""
            elif isinstance(other, Literal):
                is_equal = one.operator in ("=", expressions.IS_NULL)
                yield side.column, other.text or _NULL if is_equal else ""
    [statement] = query.values()
    for flag, is_wanted in queries.flags(statement):
        if _is_of(flag, aliases, is_alone):
            yield flag.column, "true" if is_wanted else "false"


def _of_caller(query: Any) -> set[str | None]:
    """The aliases of which a query compares a column with the caller."""
    compared = [(one.left, one.right) for one in expressions.comparisons(query)]
    sides = [pair for pair in compared if expressions.USER_ID in pair]
    return {side.table for pair in sides for side in pair if isinstance(side, Reference)}


def _first(column: Column) -> str:
    """The value that a column has at first."""
    if column.default is None:
        return _NULL
    default = expressions.value(parse_trees.expression_tree(column.default))
    return default.text if isinstance(default, Literal) else "?"


def _is_of(column: Reference, aliases: Collection[str], is_alone: bool) -> bool:
    return column.table in aliases or (column.table is None and is_alone)


def _constants(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The columns with the constants with which a query compares them."""
    for one in expressions.comparisons(query):
        if isinstance(one.left, Reference) and isinstance(one.right, Literal):
            yield one.left.column, f"{one.operator} {one.right.text}"
    [statement] = query.values()
    for flag, is_wanted in queries.flags(statement):
        yield flag.column, str(is_wanted)
