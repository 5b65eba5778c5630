"""Flags, states and times by which a project selects rows of a table, and at which no policy looks
that shows them to others: a draft that a function leaves out, and the whole group reads.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from supabase_jobs.audit.catalog import Catalog, Column, Function, Policy, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, printed, queries, truth
from supabase_jobs.audit.policies.expressions import NOW, Comparison, Literal, Reference
from supabase_jobs.audit.policies.parse_trees import Node
from supabase_jobs.audit.policies.tested import Closed, conjuncts, naming, tests
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.database.parser import syntax

_USER, _CALLERS = "authenticated", {"anon", "authenticated"}
_TIMES = ("date", "timestamp", "timestamptz")
_SELECT, _INSERT, _UPDATE = "select", "insert", "update"
# what a condition demands of a column, besides a value
_NULL, _SET = "is null", "is set"
_NULL_TESTS = {expressions.IS_NULL: _NULL, expressions.IS_NOT_NULL: _SET}
# the words of a name, in snake_case or camelCase
_WORDS = re.compile(r"[a-z0-9]+|[A-Z][a-z0-9]*")
_WRITES = ("InsertStmt", "UpdateStmt", "DeleteStmt")


@dataclass(frozen=True)
class _Other:
    """The demand for any value but one."""

    value: str


# a value, or one of the above
_Demand = str | _Other


@dataclass(frozen=True)
class ShownState:
    """The columns of a table by which `places` select rows, and at which the `policy` does not look
    that shows them.
    """

    table: str
    columns: Sequence[str]
    policy: str
    places: Sequence[str]


@dataclass(frozen=True)
class _Selection:
    """A view, function or index, and what it demands of the columns of a table."""

    place: str
    demands: Mapping[str, Collection[_Demand]]
    is_index: bool = False


@dataclass(frozen=True)
class _Alternative:
    """A condition that suffices for a row: `asking` are its parts about the caller, `named` the
    columns of the row in them, `tested` those in its other parts, `persons` those that it compares
    with the caller, and `words` all words of the condition and of the functions that it calls.
    """

    policy: str
    asking: frozenset[str]
    named: Collection[str]
    tested: Collection[str]
    persons: Collection[str]
    words: Collection[str]


class ShownStates:
    """The columns that the policies of a project for reading leave out."""

    def __init__(self, catalog: Catalog, usage: Usage) -> None:
        self._catalog, self._usage = catalog, usage
        self._known: dict[tuple[int, str], Sequence[_Alternative]] = {}
        self._functions: dict[str, list[Function]] = {}
        for function in catalog.functions:
            self._functions.setdefault(function.name, []).append(function)

    def of_table(self, relation: Relation, closed: Mapping[str, Closed]) -> Iterator[ShownState]:
        """One for each policy that shows rows to others whatever the columns say. `closed` has the
        columns with few values.
        """
        firsts = {one.name: _first(one, closed.get(one.name)) for one in relation.columns}
        demanded = {n for one in self._selections.get(relation.oid, ()) for n in one.demands}
        for each in relation.policies:
            demanded |= self._words(each.visible or "")
        states = [c for c in relation.columns if firsts[c.name] and c.name in demanded]
        states = [c for c in states if c.name not in _keys(relation)]
        readers = self._alternatives(relation, _SELECT) if states else ()
        found: dict[str, dict[str, Collection[str]]] = {}
        for column in states if readers else ():
            others = [one for one in readers if self._is_of_others(relation, column, one)]
            for policy, places in self._shown(relation, column, firsts[column.name], others):
                found.setdefault(policy, {})[column.name] = places
        for policy, columns in found.items():
            all_ = dict.fromkeys(place for those in columns.values() for place in those)
            yield ShownState(relation.label, [*columns], policy, [*all_])

    def unread(self, relation: Relation) -> Iterator[str]:
        """The flags at which nothing of the project looks, of rows that users in a group read and
        do not write, or everybody who adds rows below: each may be one that the app is to ask.
        """
        flags = [c for c in relation.columns if c.base == "bool"]
        flags = [c for c in flags if c.name not in self._project_words]
        is_referred = bool(flags) and self._is_referred(relation)
        for column in flags:
            readers = self._alternatives(relation, _SELECT)
            persons = {name for one in readers for name in one.persons}
            of_group = [one for one in readers if one.asking or is_referred]
            of_group = [one for one in of_group if persons.isdisjoint(one.named)]
            if any(self._is_of_others(relation, column, one) for one in of_group):
                yield column.name

    def _is_referred(self, relation: Relation) -> bool:
        """Whether rows of another table, which users add, refer to rows of this one."""
        tables = (other for other in self._catalog.tables if other is not relation)
        below = [t for t in tables if _refers_to(t, relation)]
        return any(self._alternatives(other, _INSERT) for other in below)

    @cached_property
    def _project_words(self) -> set[str]:
        """The words of policies, functions, views and conditions of indexes."""
        relations = self._catalog.relations
        texts = [text for relation in relations for text in relation.partial]
        texts += [relation.definition or "" for relation in relations]
        return self._usage.mentions.words.union(*(re.findall(r"\w+", text) for text in texts))

    def _shown(
        self,
        relation: Relation,
        column: Column,
        first: Collection[str],
        others: Sequence[_Alternative],
    ) -> Iterator[tuple[str, Sequence[str]]]:
        """The policies that show a row whatever a column says, with what looks at it: the
        alternative for a person of the row, or what selects rows.
        """
        name, readers = column.name, self._alternatives(relation, _SELECT)
        persons = {person for one in readers for person in one.persons}
        ignoring = [one for one in others if name not in one.words]
        looking = [one for one in readers if name in one.words]
        if looking:
            by = [one for one in looking if one.asking and name in one.tested]
            hiding = [
                *dict.fromkeys(f'policy "{one.policy}"' for one in by if persons & {*one.named})
            ]
            yield from ((one.policy, hiding) for one in ignoring if hiding and one.persons)
            return
        selecting = _selecting(name, self._selections.get(relation.oid, ()))
        demands = {demand for one in selecting for demand in one.demands[name]}
        is_hidden = not any(_accepts(demand, value) for demand in demands for value in first)
        is_ended = bool({"false", _NULL} & demands)
        for one in ignoring if selecting else ():
            if is_hidden or (is_ended and not one.persons):
                yield one.policy, [each.place for each in selecting]

    def _is_of_others(self, relation: Relation, column: Column, reader: _Alternative) -> bool:
        """Whether an alternative shows rows to more than those who write the column; not if a role
        reads all rows by it.
        """
        if reader.asking and not reader.named:
            return False
        if relation.may(_USER, "UPDATE", column.name):
            changing = self._alternatives(relation, _UPDATE)
            if any(one.asking <= reader.asking for one in changing):
                return False
        adding = self._alternatives(relation, _INSERT) if reader.persons else ()
        return not any({*one.persons} & {*reader.persons} for one in adding)

    def _alternatives(self, relation: Relation, action: str) -> Sequence[_Alternative]:
        """The alternatives of the permissive policies for an action."""
        key = relation.oid, action
        if key not in self._known:
            self._known[key] = list(self._read(relation, action))
        return self._known[key]

    def _read(self, relation: Relation, action: str) -> Iterator[_Alternative]:
        """Those of one action; each has the words of the policies that restrict it."""
        known = self._usage.persons.owners
        owners = [name for name in relation.by_name if (relation.oid, name) in known]
        governing = [p for p in relation.policies if p.governs(action)]
        always: set[str] = set()
        for policy in (p for p in governing if not p.permissive):
            always |= self._words(_text(policy, action))
        for policy in (p for p in governing if p.permissive):
            text = _text(policy, action)
            for one in printed.alternatives(text or "true", LIMITS.alternatives):
                parts = [*conjuncts(one)]
                asking = [part for part in parts if self._asks(part)]
                others = [part for part in parts if part not in asking]
                yield _Alternative(
                    policy=policy.name,
                    asking=frozenset(asking),
                    named={name for part in asking for name in _named(relation, part)},
                    tested={name for part in others for name in _named(relation, part)},
                    persons=naming(relation, tests(relation, one), owners),
                    words=always | self._words(one),
                )

    def _asks(self, text: str) -> bool:
        """Whether a condition is about the caller: not if every signed-in user meets it."""
        tree = parse_trees.expression_tree(text)
        if truth.always_true(tree, _USER):
            return False
        if expressions.request_values(tree) or parse_trees.tables(tree):
            return True
        return any(f.oid in self._usage.conditions.asking for f in self._called(text))

    def _words(self, text: str) -> set[str]:
        """The words of a condition, and of the functions that it calls."""
        found = {*re.findall(r"\w+", text)}
        for function in self._called(text):
            found |= {*re.findall(r"\w+", function.body)}
            for oid in self._usage.bodies.callees.get(function.oid, ()):
                found |= {*re.findall(r"\w+", self._by_oid[oid].body)}
        return found

    def _called(self, text: str) -> list[Function]:
        calls = parse_trees.calls(parse_trees.expression_tree(text)) if text else ()
        return [f for name in calls for f in self._functions.get(name[-1], ())]

    @cached_property
    def _by_oid(self) -> Mapping[int, Function]:
        return {function.oid: function for function in self._catalog.functions}

    @cached_property
    def _selections(self) -> Mapping[int, Sequence[_Selection]]:
        """Table → the views and functions for requests that show rows of it, and its indexes of
        some rows.
        """
        named = {name: r for r in self._catalog.tables for name in (r.name, r.label)}
        found: dict[int, list[_Selection]] = {}
        for place, trees in self._queries():
            for select in _selects(trees):
                scopes = parse_trees.tables_of(select)
                shown = {one.table for one in queries.plain(select)}
                for number, (alias, label) in enumerate(scopes.items()):
                    relation = named.get(label)
                    if relation is not None and (number == 0 or alias in shown):
                        demands = _demands(relation, scopes, select)
                        found.setdefault(relation.oid, []).append(_Selection(place, demands))
            for relation, demands in _awaited(named, trees):
                found.setdefault(relation.oid, []).append(_Selection(place, demands))
        for relation in self._catalog.tables:
            for text in relation.partial:
                where = {"whereClause": parse_trees.expression_tree(text)}
                one = _Selection("an index", _demands(relation, {}, where), is_index=True)
                found.setdefault(relation.oid, []).append(one)
        return found

    def _queries(self) -> Iterator[tuple[str, Any]]:
        """The queries of views, and of functions that return rows, which requests reach."""
        for view in self._catalog.relations:
            if view.definition and any(view.may(role, "SELECT") for role in _CALLERS):
                yield f"view {view.label}", syntax.parse(view.definition) or []
        called = self._usage.policies.policy_functions.values()
        helpers = {name for names in called for name in names}
        for function in self._catalog.functions:
            is_for_users = not _CALLERS.isdisjoint(function.callers)
            if not is_for_users or function.signature in helpers or bodies.counts_only(function):
                continue
            trees = parse_trees.body_trees(function.language, function.body)
            writes = any(any(parse_trees.nodes(trees, kind)) for kind in _WRITES)
            if function.result not in ("trigger", "void", "boolean") and not writes:
                yield f"function {function.signature}", trees


def is_about_another(relation: Relation, flag: str) -> bool:
    """Whether a flag is named after another column that users read: phone_visible of phone."""
    about = [name for name in relation.by_name if _words_of(name) < _words_of(flag)]
    return any(relation.may(_USER, "SELECT", name) for name in about)


def _words_of(name: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(name)}


def _text(policy: Policy, action: str) -> str:
    """The condition of a policy for the rows of an action, for an INSERT the new ones; '' without
    one.
    """
    text = policy.checked or policy.visible if action == _INSERT else policy.visible
    return text or ""


def _selecting(column: str, selections: Sequence[_Selection]) -> list[_Selection]:
    """Those that select rows by a column, if fewer do not, and none selects what another one leaves
    out: both sides of a state are shown then.
    """
    found = [one for one in selections if column in one.demands]
    without = [one for one in selections if column not in one.demands and not one.is_index]
    if len(found) <= len(without):
        return []
    is_one_side = all({*a.demands[column]} & {*b.demands[column]} for a in found for b in found)
    return found if is_one_side else []


def _first(column: Column, closed: Closed | None) -> Collection[str]:
    """The values of a column that a row has at first; none if it holds no state."""
    if column.base in _TIMES:
        return [_NULL]
    if closed is not None:
        return closed.first
    default = expressions.value(parse_trees.expression_tree(column.default or "null"))
    return [default.text] if isinstance(default, Literal) and column.starts_constant else ()


def _accepts(demand: _Demand, value: str) -> bool:
    """Whether a demand accepts a value."""
    if isinstance(demand, _Other):
        return demand.value != value
    return demand == value


def _refers_to(relation: Relation, other: Relation) -> bool:
    return any(key.target == other.oid for key in relation.foreign_keys)


def _keys(relation: Relation) -> set[str]:
    """The columns of keys."""
    columns = [*relation.unique_keys, *(key.columns for key in relation.foreign_keys)]
    return {name for names in columns for name in names}


def _named(relation: Relation, text: str) -> Iterator[str]:
    """The columns of its table that a condition of a policy names."""
    for one in queries.references(parse_trees.expression_tree(text)):
        if one.table in (None, relation.name) and one.column in relation.by_name:
            yield one.column


def _selects(trees: Any) -> Iterator[Node]:
    """The queries of a text that are in none, and the operands of UNION."""
    for tree in trees:
        left = [tree.get("SelectStmt", {})]
        while left:
            select = left.pop()
            left += [select[side] for side in ("larg", "rarg") if side in select]
            if "fromClause" in select:
                yield select


def _awaited(
    named: Mapping[str, Relation], trees: Any
) -> Iterator[tuple[Relation, Mapping[str, Collection[_Demand]]]]:
    """The times that an EXISTS demands to be over: until then, the row is not to count."""
    for link in parse_trees.nodes(trees, "SubLink"):
        select = link["subselect"].get("SelectStmt", {})
        scopes = parse_trees.tables_of(select)
        for label in scopes.values() if link["subLinkType"] == "EXISTS_SUBLINK" else ():
            relation = named.get(label)
            if relation is None:
                continue
            demands = _demands(relation, scopes, select)
            times = {n: d for n, d in demands.items() if relation.by_name[n].base in _TIMES}
            if any(_SET in demand for demand in times.values()):
                yield relation, times


def _demands(
    relation: Relation, scopes: Mapping[str, str], select: Node
) -> Mapping[str, Collection[_Demand]]:
    """The columns of a table with what a query demands of each."""
    found: dict[str, set[_Demand]] = {}
    labels = (relation.name, relation.label)
    aliases = [None, *(alias for alias, name in scopes.items() if name in labels)]
    kept: Node = {n: select[n] for n in ("fromClause", "whereClause") if n in select}
    for one in expressions.comparisons(kept):
        for side, demand in _sides(one):
            if side.table in aliases and side.column in relation.by_name:
                found.setdefault(side.column, set()).add(demand)
    joins = parse_trees.nodes(kept.get("fromClause"), "JoinExpr")
    wheres = [kept, *({"whereClause": join.get("quals")} for join in joins)]
    for flag, is_wanted in (one for where in wheres for one in queries.flags(where)):
        if flag.table in aliases and flag.column in relation.by_name:
            found.setdefault(flag.column, set()).add("true" if is_wanted else "false")
    return found


def _sides(one: Comparison) -> Iterator[tuple[Reference, _Demand]]:
    """The column of a comparison, with what it demands; a time that is over is set."""
    left, right, operator = one.left, one.right, one.operator
    if isinstance(right, Reference) and not isinstance(left, Reference):
        left, right = right, left
        operator = operator.translate({ord("<"): ">", ord(">"): "<"})
    if not isinstance(left, Reference):
        return
    if operator in _NULL_TESTS:
        yield left, _NULL_TESTS[operator]
    elif isinstance(right, Literal) and operator == "=":
        yield left, right.text
    elif isinstance(right, Literal) and operator == "<>":
        yield left, _Other(right.text)
    elif right == NOW and operator in (*expressions.LESS, "<>"):
        yield left, _SET
