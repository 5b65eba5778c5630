"""Reads functions as facts: what their bodies do, and whom they ask."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.facts import functions
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.policies import bodies, parse_trees
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.rows.persons import is_told_apart
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.values import TIMES


class Functions:
    """The functions of an audit."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._known: dict[int, functions.Function] = {}

    def of(self, function: Function) -> functions.Function:
        """The facts of a function."""
        if function.oid not in self._known:
            self._known[function.oid] = functions.Function(
                signature=function.signature,
                is_definer=function.definer,
                is_helper=function.signature in self.helpers,
                about=self._about(function),
                of_persons=[*self._of_persons(function)],
                guard=self._guard(function),
                result=functions.Result(
                    returns=self._returns(function),
                    is_aggregate=bodies.answers_with_aggregates(function),
                    is_yes_or_no=function.result == "boolean",
                    hands_out=self._handed_out(function),
                ),
                changes=functions.Changes(
                    sets=self._set(function),
                    alters=self._alters(function),
                    charges=function.oid in self._plan.usage.bodies.charging,
                ),
            )
        return self._known[function.oid]

    def _guard(self, function: Function) -> functions.Guard:
        """The questions of a body before it does something."""
        return functions.Guard(
            asks=function.oid in self._plan.usage.conditions.asking,
            is_loose=function.oid in self._plan.usage.conditions.loosely,
            secrets=self._secret_arguments(function),
            loose=bodies.passed_by_null(function),
            untied=self._untied(function),
        )

    def unpassed(self, called: Iterable[Function]) -> Iterator[functions.Unpassed]:
        """Those of some functions, which nobody got through, that act as their owner on rows."""
        usage = self._plan.usage
        for function in called:
            roles = set(function.callers) & {*API_USERS}
            is_asked = function.definer and bool(roles) and function.signature not in self.helpers
            adds, tested = usage.bodies.adds[function.oid], usage.conditions.tested[function.oid]
            others = {self._catalog.by_oid[oid].label for oid in adds} | self._deleted(function)
            changes = [*self._set(function), *sorted(others)]
            names = function.argument_names[: len(function.argument_types)]
            looked_up = self._found_by(function, names)
            found = [r for r in self._read_by(function) if r.oid not in adds or r.oid in looked_up]
            columns = [(r, c) for r in found for c in r.columns]
            own = usage.conditions.own[function.oid]
            if is_asked and (changes or found):
                yield functions.Unpassed(
                    function=function.signature,
                    is_open="anon" in roles,
                    asks_for=[
                        f"{r.label}.{c.name}"
                        for r, c in columns
                        if c.name in tested or (r.oid, c.name) in own
                    ],
                    unread=[
                        f"{r.label}.{c.name}"
                        for r, c in columns
                        if c.name not in tested
                        if self._may_decide(r, c) or self._hands_on(function, r, c)
                    ],
                    changes=changes,
                )

    def _hands_on(self, function: Function, relation: Relation, column: Column) -> bool:
        """Whether a function copies a reference, such as that to a group, to the rows that it adds:
        who has written it has chosen where these belong.
        """
        usage, key = self._plan.usage, (relation.oid, column.name)
        copied = {
            one
            for one in usage.bodies.copied.get(key, ())
            if one[0] in usage.bodies.adds[function.oid]
        }
        is_reference = any(
            name in foreign.columns
            for oid, name in (key, *sorted(copied))
            for foreign in self._catalog.by_oid[oid].foreign_keys
        )
        return bool(copied) and is_reference and key not in usage.persons.users

    def _deleted(self, function: Function) -> set[str]:
        """The tables from which a function deletes rows."""
        trees = parse_trees.body_trees(function.language, function.body)
        deleted = [{"RangeVar": s["relation"]} for s in parse_trees.nodes(trees, "DeleteStmt")]
        names = parse_trees.tables(deleted)
        return {r.label for r in self._catalog.tables if {r.name, r.label} & names}

    def _read_by(self, function: Function) -> list[Relation]:
        """The tables that a function names."""
        named = sorted(self._plan.usage.bodies.function_reads.get(function.oid, ()))
        return [self._catalog.by_oid[oid] for oid in named if oid in self._catalog.by_oid]

    def _may_decide(self, relation: Relation, column: Column) -> bool:
        """Whether a column may say what may be done with a row: a time or a number, or a state."""
        keys = {*relation.primary_key, *(n for k in relation.foreign_keys for n in k.columns)}
        if column.name in keys or (column.base in TIMES and column.default is not None):
            return False
        is_number = column.category == "N"
        return column.base in TIMES or is_number or self._plan.may_hold_state(relation, column)

    @cached_property
    def helpers(self) -> set[str]:
        """The functions that policies call, directly or by other functions."""
        return {
            name
            for called in self._plan.usage.policies.policy_functions.values()
            for name in called
        }

    def takes_secret(self, function: Function, name: str) -> bool:
        """Whether an argument is a secret by its name, or one that a column holds which the body
        compares with it: by its name, or as only its bearer finds the row.
        """
        secrets = self._plan.words.unknown_values
        if secrets.matches(name) and not name.endswith("id"):
            return True
        for oid, column in self._plan.usage.bodies.arguments.get((function.oid, name), ()):
            relation = self._catalog.by_oid[oid]
            keys = {*relation.primary_key, *(n for k in relation.foreign_keys for n in k.columns)}
            is_random = relation.by_name[column].differs_in_each_run
            is_secret = secrets.matches(column) or (oid, column) in self._plan.usage.secrets.bearers
            if column not in keys and (is_random or is_secret):
                return True
        return False

    def _secret_arguments(self, function: Function) -> list[str]:
        names = function.argument_names[: len(function.argument_types)]
        return [name for name in names if self.takes_secret(function, name)]

    def unread(self, function: Function, touched: Collection[str]) -> list[str]:
        """The columns that tell apart rows of these tables, which a function names, and that none
        of its conditions has.
        """
        plan = self._plan
        if not touched or bodies.counts_only(function):
            return []
        passed_over = {*plan.memberships, *plan.per_user}
        passed_over |= {*plan.usage.bodies.adds.get(function.oid, ())}
        found_by = self._found_by(function, self._secret_arguments(function))
        named = [f.body for f in self._catalog.functions if f.name in function.body]
        tested = {word for body in (function.body, *named) for word in bodies.tested_names(body)}
        found = []
        for oid in sorted(plan.usage.bodies.function_reads.get(function.oid, ())):
            relation = self._catalog.by_oid.get(oid)
            if relation is None or relation.label not in touched or oid in passed_over:
                continue
            if found_by and not {oid, *(k.target for k in relation.foreign_keys)} & found_by:
                continue  # what the row only refers to
            names = [c.name for c in relation.columns if self._tells_apart(relation, c)]
            found += [f"{relation.label}.{name}" for name in names if name not in tested]
        return found

    def _found_by(self, function: Function, names: Iterable[str]) -> set[int]:
        """The tables with columns that a body compares with these arguments."""
        known = self._plan.usage.bodies.arguments
        return {oid for name in names for oid, _ in known.get((function.oid, name), ())}

    def _alters(self, function: Function) -> bool:
        """Whether a function updates rows, or adds a row like the one that its argument names."""
        usage = self._plan.usage
        keys = {
            (oid, name)
            for oid in usage.bodies.adds.get(function.oid, ())
            for name in self._catalog.by_oid[oid].primary_key
        }
        named = [
            usage.bodies.arguments.get((function.oid, name), ()) for name in function.argument_names
        ]
        return bool(usage.bodies.sets.get(function.oid)) or any(
            keys.intersection(one) for one in named
        )

    def _untied(self, function: Function) -> list[str]:
        """The tables of rows that an id names beside a secret of another table, if the body has no
        column that refers from one of the rows to another.
        """
        secrets = self._secret_arguments(function)
        names = {*function.argument_names[: len(function.argument_types)]}.difference(secrets)
        by_secret, by_id = self._found_by(function, secrets), self._found_by(function, names)
        relations = [self._catalog.by_oid[oid] for oid in sorted(by_secret | by_id)]
        keys = {name for r in relations for key in r.foreign_keys for name in key.columns}
        words = {*re.findall(r"\w+", function.body)}
        if not by_secret or by_secret & by_id or keys & words:
            return []
        return [self._catalog.by_oid[oid].label for oid in sorted(by_id)]

    def _set(self, function: Function) -> list[str]:
        """The columns, with their tables, that a function updates."""
        found = sorted(self._plan.usage.bodies.sets.get(function.oid, ()))
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in found]

    def _tells_apart(self, relation: Relation, column: Column) -> bool:
        """Whether other code of the project tests a column with a state."""
        usage, key = self._plan.usage, (relation.oid, column.name)
        if column.base in TIMES:
            return column.default is None and key in usage.mentions.nulls | usage.mentions.presences
        if column.category == "N" or not self._plan.may_hold_state(relation, column):
            return False
        return column.name in self._tested.get(relation.oid, ()) or is_told_apart(
            usage, relation, column, self._plan.per_user
        )

    @cached_property
    def _tested(self) -> dict[int, set[str]]:
        """Table → the words of the conditions of the functions that name it."""
        found: dict[int, set[str]] = {}
        for function in self._catalog.functions:
            for oid in self._plan.usage.bodies.function_reads.get(function.oid, ()):
                found.setdefault(oid, set()).update(bodies.tested_names(function.body))
        return found

    def _about(self, function: Function) -> list[str] | None:
        """The tables of the rows whose ids a function takes; None if it takes anything else than
        these and texts that say nothing about a person.
        """
        usage, words = self._plan.usage, self._plan.words
        names, found = function.argument_names[: len(function.argument_types)], set[str]()
        if len(names) < len(function.argument_types) or "" in names:
            return None
        for name in names:
            keys = usage.bodies.arguments.get((function.oid, name), ())
            if not keys or any(
                key in usage.persons.users or words.is_sensitive(key[1]) for key in keys
            ):
                return None
            found |= {label for key in keys for label in self._identified(key)}
        return sorted(found)

    def _of_persons(self, function: Function) -> Iterator[str]:
        """The arguments that the body compares with a column of users."""
        usage = self._plan.usage
        for name in function.argument_names[: len(function.argument_types)]:
            if not usage.persons.users.isdisjoint(
                usage.bodies.arguments.get((function.oid, name), ())
            ):
                yield name

    def _identified(self, key: ColumnKey) -> Iterator[str]:
        """The tables whose rows a value of a column identifies."""
        oid, name = key
        relation = self._catalog.by_oid[oid]
        targets = [k.target or 0 for k in relation.foreign_keys if name in k.columns]
        if name in relation.primary_key and not targets:
            yield relation.label
        for target in targets:
            if target in self._catalog.by_oid:
                yield self._catalog.by_oid[target].label

    def _handed_out(self, function: Function) -> list[str]:
        """The columns with a random value, other than a key, in the rows of a result."""
        return [
            f"{relation.label}.{column.name}"
            for relation in self._catalog.tables
            for column in relation.columns
            if function.result in (relation.name, relation.label) and column.differs_in_each_run
            if column.name not in relation.primary_key
        ]

    def _returns(self, function: Function) -> Sequence[str] | None:
        """The columns that a function returns, its own name for a single value, none without a
        result; None for whole rows, or documents with any of them.
        """
        columns = function.argument_names[len(function.argument_types) :]
        if columns or function.result == "void":
            return [*columns]
        is_row = function.result in self._row_types or function.result in (
            "json",
            "jsonb",
            "record",
        )
        return None if is_row else [function.name]

    @cached_property
    def _row_types(self) -> set[str]:
        """The names of row types, as the server prints results."""
        tables = self._catalog.relations
        return {table.name for table in tables} | {table.label for table in tables}
