"""Reads the answers of views and functions as facts."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from supabase_jobs.audit.catalog import USERS, VAULT, Column, Function, Relation
from supabase_jobs.audit.leaks.facts import API_USERS, Called, Unpassed, View, ViewTried
from supabase_jobs.audit.policies import bodies, expressions
from supabase_jobs.audit.policies.usage import ColumnKey
from supabase_jobs.audit.probes.bypass import (
    SQL,
    Bypass,
    FunctionCall,
    Injection,
    PreparedCall,
    ViewWrite,
)
from supabase_jobs.audit.probes.ended_calls import EndedCall
from supabase_jobs.audit.probes.number_calls import NumberCall, RepeatedCall
from supabase_jobs.audit.probes.selected_rows import StateUse
from supabase_jobs.audit.reading.actors import Actors
from supabase_jobs.audit.reading.tables import Tables
from supabase_jobs.audit.rows.plan import Plan, is_told_apart
from supabase_jobs.audit.rows.tenants import Ended
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.action import Call, Constant


class Answers:
    """The answers of views and functions to callers."""

    def __init__(self, plan: Plan, tables: Tables, actors: Actors) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._tables, self._actors = tables, actors
        self._views: dict[str, View] = {}

    def of_view(self, bypass: Bypass, view: Relation) -> ViewTried:
        """An answer of a view, or a write by it."""
        if view.label not in self._views:
            self._views[view.label] = View(
                schema=view.schema,
                name=view.name,
                is_materialized=view.kind == "m",
                is_invoker=view.invoker,
                columns={column.name: column.granted for column in view.columns},
                granted=view.granted,
                links=sorted(self._links(view).intersection(view.by_name)),
                selects=self._selects(view),
            )
        return ViewTried(
            actor=self._actors.of(bypass.caller),
            has_secret=_has_secret(bypass),
            view=self._views[view.label],
            action=bypass.action,
            shown=self._tables.labels(bypass.shown),
            changed=self._tables.labels(bypass.changed),
            identified=self._tables.labels(bypass.identified),
            derived=self._tables.labels(bypass.derived),
            existing=self._tables.labels(bypass.existing),
            counted=self._tables.labels(bypass.counted),
            is_own=isinstance(bypass, ViewWrite) and bypass.is_own,
            in_state=isinstance(bypass, StateUse),
            state=bypass.state if isinstance(bypass, StateUse) else "",
        )

    def _links(self, view: Relation) -> set[str]:
        """The names of the columns that refer to another row or person in the tables that a view
        reads. That of a row which each user has is the row itself.
        """
        plan, found = self._plan, set[str]()
        for oid in self._plan.usage.reads.get(view.oid, {view.oid}) - {view.oid}:
            relation = self._catalog.by_oid.get(oid)
            if relation is not None and relation.label != USERS:
                own = relation.primary_key if oid in plan.per_user else ()
                found |= {n for key in relation.foreign_keys for n in key.columns}.difference(own)
                found |= {n for of, n in plan.usage.users if of == oid}.difference(own)
        return found

    def _selects(self, view: Relation) -> bool:
        """Whether the rows that a view selects say themselves that it shows them: by a flag, a
        state, or a value that is shown if there is one, such as a public name.
        """
        for (oid, name), operator, text in self._plan.usage.selecting.get(view.oid, ()):
            is_time = self._catalog.by_oid[oid].by_name[name].base in TIMES
            is_shown = operator == expressions.IS_NOT_NULL and name in view.by_name
            if (operator == "=" and text is not None) or (is_shown and not is_time):
                return True
        return False

    def of_call(self, bypass: Bypass) -> Called:
        """A call of a function."""
        function = bypass.object
        assert not isinstance(function, Relation)  # noqa: S101  filtered above
        ended = bypass.ended if isinstance(bypass, EndedCall) else None
        return Called(
            actor=self._actors.of(bypass.caller),
            has_secret=_has_secret(bypass),
            function=function.signature,
            is_definer=function.definer,
            shown=self._tables.labels(bypass.shown),
            changed=self._tables.labels(bypass.changed),
            recounted=self._tables.labels(bypass.recounted),
            forged=self._tables.labels(bypass.forged),
            addressed=self._tables.labels(bypass.addressed),
            returns=self._returns(function),
            is_general=isinstance(bypass, FunctionCall) and bypass.given is None,
            opened=[] if isinstance(bypass, EndedCall) else self._tables.labels(bypass.opened),
            regained=self._tables.labels(bypass.opened) if isinstance(bypass, EndedCall) else [],
            sqlstate="" if bypass.error is None else bypass.error.sqlstate or "",
            arguments=_arguments(bypass),
            names_others=isinstance(bypass, FunctionCall) and bypass.names_others,
            about=self._about(function),
            is_aggregate=bodies.answers_with_aggregates(function),
            identified=self._tables.labels(bypass.identified),
            derived=self._tables.labels(bypass.derived),
            existing=self._tables.labels(bypass.existing),
            counted=self._tables.labels(bypass.counted),
            runs_sql=bypass.action == SQL and bypass.outcome == ROWS,
            runs_statement=isinstance(bypass, Injection) and bypass.is_statement,
            is_helper=function.signature in self.helpers,
            asks=function.oid in self._plan.usage.asking,
            charges=function.oid in self._plan.usage.charging,
            touched=self._touched(bypass),
            unread=self._unread(bypass, function),
            hands_out=self._handed_out(function),
            sets=self._set(function),
            alters=self._alters(function),
            untied=self._untied(function),
            loose=bodies.passed_by_null(function),
            texts=[name for name, given in _given(bypass) if _is_text(given)],
            nulls=[name for name, given in _given(bypass) if given.text is None],
            ended=bypass.state if isinstance(bypass, EndedCall) else "",
            is_of_above=isinstance(bypass, EndedCall) and bypass.is_of_above,
            remedy="" if ended is None else ended.advice,
            writes=isinstance(bypass, EndedCall) and bypass.written > 0,
            ended_column=_ended_column(ended),
            is_own=isinstance(bypass, EndedCall) and bypass.is_own,
            raised=[] if isinstance(bypass, RepeatedCall) else self._raised(bypass),
            free=self._free(bypass),
            repeated=self._raised(bypass) if isinstance(bypass, RepeatedCall) else [],
            added_again=[
                self._catalog.by_oid[oid].label
                for oid in (sorted(bypass.added) if isinstance(bypass, RepeatedCall) else ())
            ],
            is_pair=_is_pair(bypass),
            named=self._named_in(bypass),
            addressee=self._addressee(bypass),
            is_loose=function.oid in self._plan.usage.loosely,
            across=bypass.of.label if isinstance(bypass, EndedCall) and bypass.of else "",
            is_asked_elsewhere=self._asks_addressee(bypass),
            by_null=bypass.by_null if isinstance(bypass, PreparedCall) else "",
            below=self._tables.labels(bypass.below) if isinstance(bypass, PreparedCall) else (),
            secrets=self._secret_arguments(function),
        )

    def unpassed(self, functions: Iterable[Function]) -> Iterator[Unpassed]:
        """Those of some functions, which nobody got through, that act as their owner on rows."""
        usage = self._plan.usage
        for function in functions:
            roles = set(function.callers) & {*API_USERS}
            is_asked = function.definer and bool(roles) and function.signature not in self.helpers
            adds, tested = usage.adds[function.oid], usage.tested[function.oid]
            others = {self._catalog.by_oid[oid].label for oid in adds} | self._deleted(function)
            changes = [*self._set(function), *sorted(others)]
            names = function.argument_names[: len(function.argument_types)]
            looked_up = self._found_by(function, names)
            found = [r for r in self._read_by(function) if r.oid not in adds or r.oid in looked_up]
            columns = [(r, c) for r in found for c in r.columns]
            own = usage.own[function.oid]
            if is_asked and (changes or found):
                yield Unpassed(
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
        copied = {one for one in usage.copied.get(key, ()) if one[0] in usage.adds[function.oid]}
        is_reference = any(
            name in foreign.columns
            for oid, name in (key, *sorted(copied))
            for foreign in self._catalog.by_oid[oid].foreign_keys
        )
        return bool(copied) and is_reference and key not in usage.users

    def _deleted(self, function: Function) -> set[str]:
        """The tables from which a function deletes rows."""
        trees = expressions.body_trees(function.language, function.body)
        deleted = [{"RangeVar": s["relation"]} for s in expressions.nodes(trees, "DeleteStmt")]
        names = expressions.tables(deleted)
        return {r.label for r in self._catalog.tables if {r.name, r.label} & names}

    def _read_by(self, function: Function) -> list[Relation]:
        """The tables that a function names."""
        named = sorted(self._plan.usage.function_reads.get(function.oid, ()))
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
        return {name for called in self._plan.usage.policy_functions.values() for name in called}

    def takes_secret(self, function: Function, name: str) -> bool:
        """Whether an argument is a secret by its name, or one that a column holds which the body
        compares with it: by its name, or as only its bearer finds the row.
        """
        secrets = self._plan.words.unknown_values
        if secrets.matches(name) and not name.endswith("id"):
            return True
        for oid, column in self._plan.usage.arguments.get((function.oid, name), ()):
            relation = self._catalog.by_oid[oid]
            keys = {*relation.primary_key, *(n for k in relation.foreign_keys for n in k.columns)}
            is_random = relation.by_name[column].differs_in_each_run
            is_secret = secrets.matches(column) or (oid, column) in self._plan.usage.bearers
            if column not in keys and (is_random or is_secret):
                return True
        return False

    def _secret_arguments(self, function: Function) -> list[str]:
        names = function.argument_names[: len(function.argument_types)]
        return [name for name in names if self.takes_secret(function, name)]

    def _raised(self, bypass: Bypass) -> list[str]:
        """The columns, with their tables, of numbers that a call has raised."""
        raised = bypass.raised if isinstance(bypass, NumberCall) else ()
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in sorted(raised)]

    def _free(self, bypass: Bypass) -> list[str]:
        """Those of these columns that the tables let the caller change."""
        free = bypass.free if isinstance(bypass, NumberCall) else ()
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in sorted(free)]

    def _named_in(self, bypass: Bypass) -> str:
        """The column of the row that a call identifies in which the owner has named the caller."""
        if not isinstance(bypass, PreparedCall) or bypass.named is None:
            return ""
        oid, column = bypass.named
        return f"{self._catalog.by_oid[oid].label}.{column}"

    def _addressee(self, bypass: Bypass) -> str:
        """The column in which the row with the secret of a call names somebody else."""
        if not isinstance(bypass, EndedCall) or bypass.addressee is None or bypass.ended:
            return ""
        oid, column = bypass.addressee
        return f"{self._catalog.by_oid[oid].label}.{column}"

    def _asks_addressee(self, bypass: Bypass) -> bool:
        """Whether a policy or another function compares this column with the caller's address."""
        asked = self._plan.usage.claims.get(("email",), ())
        return isinstance(bypass, EndedCall) and bypass.addressee in asked

    def _touched(self, bypass: Bypass) -> list[str]:
        """The tables that a function names and whose rows are refused to its caller."""
        named = self._plan.usage.function_reads.get(bypass.object.oid, ())
        return self._tables.labels(row for row in bypass.hidden if row.relation.oid in named)

    def _unread(self, bypass: Bypass, function: Function) -> list[str]:
        """The columns that tell apart rows of the tables that a function names, and that none of
        its conditions has.
        """
        plan, touched = self._plan, {*self._touched(bypass)}
        if not touched or bodies.counts_only(function):
            return []
        passed_over = {*plan.memberships, *plan.per_user}
        passed_over |= {*plan.usage.adds.get(function.oid, ())}
        found_by = self._found_by(function, self._secret_arguments(function))
        named = [f.body for f in self._catalog.functions if f.name in function.body]
        tested = {word for body in (function.body, *named) for word in bodies.tested_names(body)}
        found = []
        for oid in sorted(plan.usage.function_reads.get(function.oid, ())):
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
        known = self._plan.usage.arguments
        return {oid for name in names for oid, _ in known.get((function.oid, name), ())}

    def _alters(self, function: Function) -> bool:
        """Whether a function updates rows, or adds a row like the one that its argument names."""
        usage = self._plan.usage
        keys = {
            (oid, name)
            for oid in usage.adds.get(function.oid, ())
            for name in self._catalog.by_oid[oid].primary_key
        }
        named = [usage.arguments.get((function.oid, name), ()) for name in function.argument_names]
        return bool(usage.sets.get(function.oid)) or any(keys.intersection(one) for one in named)

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
        found = sorted(self._plan.usage.sets.get(function.oid, ()))
        return [f"{self._catalog.by_oid[oid].label}.{name}" for oid, name in found]

    def _tells_apart(self, relation: Relation, column: Column) -> bool:
        """Whether other code of the project tests a column with a state."""
        usage, key = self._plan.usage, (relation.oid, column.name)
        if column.base in TIMES:
            return column.default is None and key in usage.nulls | usage.presences
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
            for oid in self._plan.usage.function_reads.get(function.oid, ()):
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
            keys = usage.arguments.get((function.oid, name), ())
            if not keys or any(key in usage.users or words.is_sensitive(key[1]) for key in keys):
                return None
            found |= {label for key in keys for label in self._identified(key)}
        return sorted(found)

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


def _is_pair(bypass: Bypass) -> bool:
    """Whether a call is about rows of the caller beside rows of others which may go together."""
    if not isinstance(bypass, PreparedCall) or not bypass.is_mixed:
        return False
    return not bypass.is_apart and not bypass.is_across


def _ended_column(ended: Ended | None) -> str:
    """The column that says that a row has ended; '' if it has not."""
    return "" if ended is None else f"{ended.relation.label}.{ended.column}"


def _has_secret(bypass: Bypass) -> bool:
    """Whether a result has a secret of Vault."""
    return any(row.relation.label == VAULT for row in bypass.shown)


def _arguments(bypass: Bypass) -> str:
    """The arguments of a call as text."""
    if not isinstance(bypass, FunctionCall):
        return ""
    [call, *_] = bypass.sent
    return call.statement.sql


def _given(bypass: Bypass) -> Iterator[tuple[str, Constant]]:
    """The names and values of the arguments of a call."""
    if isinstance(bypass, FunctionCall) and not isinstance(bypass.object, Relation):
        [call, *_] = bypass.sent
        values = call.arguments if isinstance(call, Call) else ()
        yield from zip(bypass.object.argument_names, values, strict=False)


def _is_text(given: Constant) -> bool:
    return given.text is not None and given.type in ("text", "character varying")
