"""Persons, states, values and guards at which a function does not look, although the rest of the
project does: the row that its argument names has a value of the same name, or is below another one
in a state; another function refuses a person, or asks who the caller is.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property

from supabase_jobs.audit.catalog import Column, Function, Relation
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import bodies, expressions, parse_trees, queries
from supabase_jobs.audit.policies.expressions import USER_ID, Literal, Reference
from supabase_jobs.audit.policies.siblings import (
    Omission,
    Siblings,
    Unasked,
    demanded_queries,
    is_step,
)
from supabase_jobs.audit.policies.uses import ColumnKey


class PassedOver(Siblings):
    """The same functions as those of `Siblings`, by what they pass over."""

    def find(self) -> Iterator[Unasked]:
        """The omissions of the functions that write with the rights of their owner; and of helpers
        of policies, which demand any row instead of the caller's.
        """
        yield from self._of_own_policies()
        for function in self._functions:
            if function.definer and function.volatility == "v":
                yield from self._of_refused_persons(function)
                yield from self._of_refused_values(function)
                yield from self._of_links(function)
                yield from self._of_rows_above(function)
                yield from self._of_passed_values(function)
                yield from self._of_prices(function)
                yield from self._of_addressees(function)
                yield from self._of_groups(function)
                yield from self._of_guards(function)
                yield from self._of_raised_numbers(function)
                yield from self._of_sums(function)

    def _of_refused_persons(self, function: Function) -> Iterator[Unasked]:
        """The persons of a row whom another function refuses that takes it in the same state, such
        as the one who has reported a result.
        """
        usage = self._usage
        demanded = usage.conditions.demands.get(function.oid, {}).items()
        for other in self._functions:
            same = demanded & usage.conditions.demands.get(other.oid, {}).items()
            for oid in sorted({oid for (oid, _), text in same if text and other is not function}):
                relation = self._catalog.by_oid[oid]
                refused = {
                    name
                    for name, one, value in self._compared(other, relation)
                    if one.operator == "<>" and value == USER_ID
                }
                left = sorted(name for name in refused if not self._asks(function, name))
                if left:
                    yield self._one(Omission.PERSON, function, relation, left, [other.signature])

    def _of_refused_values(self, function: Function) -> Iterator[Unasked]:
        """The columns with a state of which a function refuses one value only, before it sets the
        column, although another function that sets it demands one.
        """
        sets = self._usage.bodies.sets[function.oid]
        for other in self._functions:
            if other is function:
                continue
            for key, (refused, own) in self._all_tests[function.oid].items():
                demanded = self._all_tests[other.oid].get(key, (set(), set()))[1]
                relation = self._catalog.by_oid[key[0]]
                left = {*self._listed(relation, key[1])} - refused - demanded
                is_set = key in sets & self._usage.bodies.sets[other.oid] and not own
                if is_set and refused and demanded and left and not refused & demanded:
                    places, values = [other.signature], sorted(refused)
                    yield self._one(Omission.VALUES, function, relation, [key[1]], places, values)

    @cached_property
    def _all_tests(self) -> Mapping[int, Mapping[ColumnKey, tuple[set[str], set[str]]]]:
        return {function.oid: self._tests(function) for function in self._functions}

    def _tests(self, function: Function) -> Mapping[ColumnKey, tuple[set[str], set[str]]]:
        """Column of a row in a variable → the values that a function refuses, and those that it
        demands.
        """
        tables = {name: label for name, label, column in bodies.variables(function) if not column}
        found: dict[ColumnKey, tuple[set[str], set[str]]] = {}
        for text in bodies.refusing(function):
            for one in expressions.comparisons(parse_trees.expression_tree(text)):
                if not isinstance(one.left, Reference) or not isinstance(one.right, Literal):
                    continue
                relation = self._labelled.get(tables.get(one.left.table or "", ""))
                if relation is None or one.left.column not in relation.by_name:
                    continue
                refused, demanded = found.setdefault(
                    (relation.oid, one.left.column), (set(), set())
                )
                kept = {"=": refused, "<>": demanded}.get(one.operator)
                if kept is not None:
                    kept.add(one.right.text)
        return found

    def _of_links(self, function: Function) -> Iterator[Unasked]:
        """The state of a row about two persons without which a function refuses its caller, if
        policies demand a state of new ones: a friendship that the other one has not accepted.
        """
        for condition in map(parse_trees.expression_tree, bodies.refusing(function)):
            for query in demanded_queries(condition, is_demanded=False):
                for label in parse_trees.tables_of(query).values():
                    relation = self._labelled.get(label)
                    if relation is None or relation.oid in self._giving:
                        continue
                    own = {
                        name
                        for oid, name in self._usage.conditions.own[function.oid]
                        if oid == relation.oid
                    }
                    states = [
                        name for name in self._begun(relation) if not self._asks(function, name)
                    ]
                    if states and len(own) > 1:
                        yield self._one(Omission.LINK, function, relation, states)

    def _begun(self, relation: Relation) -> list[str]:
        """The columns of which a policy for new rows demands a constant."""
        found = set[str]()
        for policy in relation.policies:
            if policy.governs("insert") and policy.checked:
                tree = parse_trees.expression_tree(policy.checked)
                for one in expressions.comparisons(tree):
                    if isinstance(one.left, Reference) and isinstance(one.right, Literal):
                        found.add(one.left.column)
        return sorted(found & relation.by_name.keys())

    def _of_rows_above(self, function: Function) -> Iterator[Unasked]:
        """The states of a row above the one that a function writes, for which another function asks
        that writes there, too; not if the function looks at the row above.
        """
        written = self._written(function)
        for oid in sorted(written):
            unread = self._all_above[oid] - {oid, *self._giving}
            read = self._usage.bodies.function_reads.get(function.oid, set())
            for target in sorted(unread - read):
                parent = self._catalog.by_oid.get(target)
                places: dict[str, list[str]] = {}
                for other in self._functions if parent is not None else ():
                    if other is function or oid not in self._written(other):
                        continue
                    for name in sorted(self._states(other, parent)):
                        places.setdefault(name, []).append(other.signature)
                named = [*dict.fromkeys(place for found in places.values() for place in found)]
                if parent is not None and places:
                    below = [self._catalog.by_oid[oid].label]
                    yield self._one(Omission.ABOVE, function, parent, [*places], named, below)

    @cached_property
    def _all_above(self) -> Mapping[int, set[int]]:
        return {relation.oid: self._above(relation.oid) for relation in self._catalog.tables}

    def _above(self, oid: int) -> set[int]:
        """The tables to which rows of a table refer: by a key, or because a function adds them with
        an argument by which it finds a row there.
        """
        found = {key.target or 0 for key in self._catalog.by_oid[oid].foreign_keys}
        for function in self._functions:
            if oid in self._usage.bodies.adds[function.oid]:
                trees = self._trees(function)
                for label, _, node in queries.inserted(trees, self._columns):
                    relation, value = self._labelled.get(label), expressions.value(node)
                    if (
                        relation is not None
                        and relation.oid == oid
                        and isinstance(value, Reference)
                    ):
                        found |= self._identified(function, value.column)
        return found

    def _identified(self, function: Function, name: str) -> set[int]:
        """The tables of which a function finds a row by this argument."""
        known = self._usage.bodies.arguments.get((function.oid, name), ())
        return {o for o, column in known if (column,) in self._catalog.by_oid[o].unique_keys}

    def _states(self, function: Function, relation: Relation | None) -> set[str]:
        """The columns of a table with a state that a function compares with a constant."""
        if relation is None:
            return set()
        compared = self._compared(function, relation)
        names = {name for name, _, value in compared if isinstance(value, Literal)}
        names |= {
            name
            for oid, name in self._usage.conditions.demands.get(function.oid, {})
            if oid == relation.oid
        }
        return {name for name in names if self._is_state((relation.oid, name))}

    def _written(self, function: Function) -> set[int]:
        """The tables to which a function adds rows, in which it sets more than a state, or from
        which it deletes.
        """
        if function.oid not in self._writes:
            usage = self._usage
            changed = {key[0] for key in usage.bodies.sets[function.oid] if not self._is_state(key)}
            added = usage.bodies.adds[function.oid]
            self._writes[function.oid] = changed | added | self._deleted(function)
        return self._writes[function.oid]

    @cached_property
    def _writes(self) -> dict[int, set[int]]:
        return {}

    def _of_passed_values(self, function: Function) -> Iterator[Unasked]:
        """The numbers of a row that a function finds, of which it compares an argument of the same
        name instead, and stores neither.
        """
        words = {*re.findall(r"\w+", function.body)}
        trees = self._trees(function)
        stored = [*queries.assigned(trees), *queries.inserted(trees, self._columns)]
        given = {one.column for _, _, node in stored for one in queries.references(node)}
        compared = self._named_in_comparisons(function)
        names = {*function.argument_names[: len(function.argument_types)]} & compared - given
        for oid in sorted(self._found(function)):
            relation = self._catalog.by_oid[oid]
            for column in relation.columns:
                same = [name for name in names if re.fullmatch(rf"\w*?_?{column.name}", name)]
                if column.category == "N" and column.name not in words and same:
                    yield self._one(
                        Omission.PASSED, function, relation, [column.name], values=sorted(same)
                    )

    def _named_in_comparisons(self, function: Function) -> set[str]:
        sides = [side for one in self._comparisons(function) for side in (one.left, one.right)]
        return {side.column for side in sides if isinstance(side, Reference)}

    def _of_prices(self, function: Function) -> Iterator[Unasked]:
        """The numbers of a new row that a function takes from an argument without a condition,
        although the row refers to another one with a number of this name, such as a price.
        """
        trees = self._trees(function)
        for label, name, node in queries.inserted(trees, self._columns):
            relation, value = self._labelled.get(label), expressions.value(node)
            is_given = isinstance(value, Reference) and bool(function.argument(value.column))
            if relation is None or name not in relation.by_name or not is_given:
                continue
            argument = function.argument(value.column) if isinstance(value, Reference) else ""
            targets = [key.target or 0 for key in relation.foreign_keys if name not in key.columns]
            above = [self._catalog.by_oid[oid] for oid in targets if oid in self._catalog.by_oid]
            same = [r for r in above if name in r.by_name and r.by_name[name].category == "N"]
            if same and not {name, argument} & self._named_in_comparisons(function):
                places = [f"{r.label}.{name}" for r in same]
                yield self._one(Omission.PRICE, function, relation, [name], places)

    def _of_addressees(self, function: Function) -> Iterator[Unasked]:
        """The persons that a row may name which a function finds by a text that its bearer has, if
        it acts for its caller and looks at none of them.
        """
        usage = self._usage
        words = {*re.findall(r"\w+", function.body)}
        keys = [
            (oid, column)
            for name in function.argument_names[: len(function.argument_types)]
            for oid, column in usage.bodies.arguments.get((function.oid, name), ())
            if self._catalog.by_oid[oid].by_name[column].category == "S"
            if (column,) in self._catalog.by_oid[oid].unique_keys
        ]
        is_asking = function.oid in usage.conditions.asking
        for oid in sorted({oid for oid, _ in keys} if is_asking else ()):
            relation = self._catalog.by_oid[oid]
            persons = [
                column.name
                for column in relation.columns
                if self._names_person(relation, column) and column.name not in words
                if not column.not_null and column.default is None
            ]
            if persons:
                yield self._one(Omission.ADDRESSEE, function, relation, persons)

    def _names_person(self, relation: Relation, column: Column) -> bool:
        """Whether a column names a user, or a row that gives one a role."""
        targets = {k.target for k in relation.foreign_keys if k.columns == (column.name,)}
        is_user = (relation.oid, column.name) in self._usage.persons.users
        return is_user or bool(targets & {*self._giving})

    def _of_groups(self, function: Function) -> Iterator[Unasked]:
        """The group of the row that a function changes, if it asks which role its caller has, and
        not in which group.
        """
        usage = self._usage
        if self._passes_on(function):
            return
        read = usage.bodies.function_reads.get(function.oid, set()) & {*self._giving}
        groups = {
            key.target
            for oid in read
            for key in self._catalog.by_oid[oid].foreign_keys
            if self._catalog.by_oid[oid].foreign_keys and key.target not in (0, None, *read)
        }
        words = {*re.findall(r"\w+", function.body)}
        for oid in sorted(self._found(function) & self._written(function) - read):
            relation = self._catalog.by_oid[oid]
            names = [k.columns[0] for k in relation.foreign_keys if k.target in groups]
            own = {name for of, name in usage.conditions.own[function.oid] if of == oid}
            if names and not own and words.isdisjoint(names):
                values = [self._catalog.by_oid[one].label for one in sorted(read)]
                yield self._one(Omission.GROUP, function, relation, names, values=values)

    def _passes_on(self, function: Function) -> bool:
        """Whether a function passes anything to a helper that asks for the caller."""
        asking = {f.name for f in self._catalog.functions if f.oid in self._usage.conditions.asking}
        calls = parse_trees.nodes(self._trees(function), "FuncCall")
        return any(
            parse_trees.name_of(call)[-1] in asking
            and any(queries.references(call.get("args", [])))
            for call in calls
        )

    def _of_guards(self, function: Function) -> Iterator[Unasked]:
        """The helper without arguments that most functions ask about their caller, if one that adds
        rows for its caller asks none; or that others ask beside the only one that it asks.
        """
        usage = self._usage
        if function.oid not in usage.conditions.asking or self._passes_on(function):
            return
        asked = self._asked_helpers(function)
        for oid, functions in self._guards.items():
            beside = [f for f in functions if asked and asked < self._asked_helpers(f)]
            names = [f.signature for f in (beside if asked else functions)]
            is_guard = len(names) >= (LIMITS.asking_beside if asked else LIMITS.asking)
            tables = sorted(usage.bodies.function_reads.get(oid, set()) & {*self._giving})
            is_read = bool(self._giving_read(function) & {*tables})
            is_alone = not asked and self._for_caller(function) and bool(tables) and not is_read
            if oid not in asked and is_guard and (is_alone or len(asked) == 1):
                changed = {o for o, _ in usage.bodies.sets[function.oid]}
                written = sorted(self._written(function) | changed)
                for one in written[:1]:
                    yield self._one(
                        Omission.GUARD,
                        function,
                        self._catalog.by_oid[one],
                        [self._by_oid[oid].name],
                        names,
                        [self._by_oid[oid].signature],
                    )

    def _asked_helpers(self, function: Function) -> set[int]:
        """The helpers without arguments that a function asks about its caller."""
        if function.oid in self._helpers_of:
            return self._helpers_of[function.oid]
        called = self._usage.bodies.callees.get(function.oid, set()) & self._usage.conditions.asking
        named = {name[-1] for name in parse_trees.calls(list(self._trees(function)))}
        found = [self._by_oid[oid] for oid in called if oid in self._by_oid]
        asked = {f.oid for f in found if not f.argument_types and f.name in named}
        self._helpers_of[function.oid] = asked
        return asked

    @cached_property
    def _helpers_of(self) -> dict[int, set[int]]:
        return {}

    def _giving_read(self, function: Function) -> set[int]:
        return self._usage.bodies.function_reads.get(function.oid, set()) & {*self._giving}

    def _for_caller(self, function: Function) -> bool:
        """Whether a function adds a row that names its caller."""
        inserted = queries.inserted(self._trees(function), self._columns)
        return any(expressions.value(node) == USER_ID for _, _, node in inserted)

    @cached_property
    def _guards(self) -> Mapping[int, list[Function]]:
        """The helpers without arguments that writing functions ask about their caller."""
        found: dict[int, list[Function]] = {}
        for function in self._functions:
            if function.definer and function.volatility == "v":
                for oid in self._asked_helpers(function):
                    found.setdefault(oid, []).append(function)
        return found

    def _of_raised_numbers(self, function: Function) -> Iterator[Unasked]:
        """The numbers to which a function adds an amount in a row that an argument identifies, if
        it sets nothing in the row for which it asks: each call adds the amount again.
        """
        found, trees = self._found(function), self._trees(function)
        for label, name, node in queries.assigned(trees):
            relation = self._labelled.get(label)
            if relation is None or relation.oid not in found or not is_step(node, name, "+"):
                continue
            added = expressions.value(node["A_Expr"]["rexpr"])
            is_given = isinstance(added, Reference) and bool(function.argument(added.column))
            changed = self._usage.bodies.sets[function.oid]
            set_ = {column for oid, column in changed if oid == relation.oid}
            is_asked = any(self._asks(function, column) for column in set_)
            if not isinstance(added, Literal) and not is_given and not is_asked:
                yield self._one(Omission.MARK, function, relation, [name])

    def _of_sums(self, function: Function) -> Iterator[Unasked]:
        """The states of rows of which a function takes a sum without them, although another one
        takes the sum of those in a state.
        """
        own = self._all_sums[function.oid]
        for other in self._catalog.functions:
            if other is function or other.result == "trigger":
                continue
            for oid, names in self._all_sums[other.oid].items():
                left = sorted(names - own.get(oid, names))
                if left:
                    relation = self._catalog.by_oid[oid]
                    yield self._one(Omission.STATE, function, relation, left, [other.signature])

    @cached_property
    def _all_sums(self) -> Mapping[int, Mapping[int, set[str]]]:
        return {function.oid: self._sums(function) for function in self._catalog.functions}

    def _sums(self, function: Function) -> Mapping[int, set[str]]:
        """Table of which a function takes a sum → the states in the conditions of the query."""
        found: dict[int, set[str]] = {}
        for select in parse_trees.nodes(self._trees(function), "SelectStmt"):
            calls = parse_trees.nodes(select.get("targetList", []), "FuncCall")
            if not any(parse_trees.name_of(call)[-1] == "sum" for call in calls):
                continue
            for label in parse_trees.tables_of(select).values():
                relation = self._labelled.get(label)
                named = {one.column for one in queries.references(select.get("whereClause"))}
                if relation is not None:
                    states = {
                        n
                        for n in named & relation.by_name.keys()
                        if self._is_state((relation.oid, n))
                    }
                    found.setdefault(relation.oid, set()).update(states)
        return found

    def _of_own_policies(self) -> Iterator[Unasked]:
        """The persons of a table whose policy calls a function that looks for any row of it, and
        not for the caller's.
        """
        usage = self._usage
        by_signature = {f.signature: f for f in self._catalog.functions}
        for relation in self._catalog.tables:
            owners = sorted(name for oid, name in usage.persons.owners if oid == relation.oid)
            keys = {name for key in relation.unique_keys if len(key) == 1 for name in key}
            called = {
                name
                for policy in relation.policies
                for name in usage.policies.policy_functions.get((relation.oid, policy.name), ())
            }
            for function in (by_signature[name] for name in sorted(called & by_signature.keys())):
                is_open = function.oid not in usage.conditions.asking and owners
                for query in parse_trees.nodes(self._trees(function), "SelectStmt"):
                    labels = {*parse_trees.tables_of(query).values()}
                    labels &= {relation.name, relation.label}
                    named = {one.column for one in queries.references(query)}
                    is_any = "whereClause" in query and not named & {*owners, *keys}
                    if is_open and labels and is_any:
                        yield self._one(Omission.WHOSE, function, relation, owners)
                        break

    def _one(
        self,
        what: Omission,
        function: Function,
        relation: Relation,
        columns: list[str],
        places: list[str] | None = None,
        values: list[str] | None = None,
    ) -> Unasked:
        return Unasked(
            what=what,
            function=function.signature,
            table=relation.label,
            columns=columns,
            places=places or (),
            values=values or (),
        )
