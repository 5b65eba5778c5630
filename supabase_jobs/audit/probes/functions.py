"""Calls of functions: with ids of others, on prepared rows, and with SQL."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from psycopg import sql

from supabase_jobs.audit.callers import ANON, NEWCOMER, STRANGER, Persona
from supabase_jobs.audit.catalog import VAULT, Function
from supabase_jobs.audit.probes import statements
from supabase_jobs.audit.probes.arguments import STATEMENT, Arguments
from supabase_jobs.audit.probes.attempt import INSERT
from supabase_jobs.audit.probes.bypass import (
    CALL,
    NOTHING,
    SQL,
    Bypass,
    Copies,
    FunctionCall,
    IdentifyingCall,
    Injection,
    NamedCall,
    NullCall,
    PreparedCall,
    call_of,
)
from supabase_jobs.audit.probes.effects import Watch
from supabase_jobs.audit.probes.refused_rows import RefusedRows
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.database.batch import Statement
from supabase_jobs.session.action import Constant
from supabase_jobs.session.impersonation import own_role

# those who call functions on rows in the state that these ask for
_GENERAL_OUTSIDERS = (ANON, NEWCOMER, STRANGER)

Call = TypeVar("Call", bound=PreparedCall)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Called:
    """A function that a caller calls: rows that the tables refuse the caller, those that a call may
    change or copy, and the statement that sets the role of the owner.
    """

    caller: Persona
    function: Function
    hidden: Sequence[Row]
    watch: Watch
    copies: Copies
    own: Statement

    def prepared(
        self, kind: Callable[..., Call], arguments: Sequence[Constant], **fields: Any
    ) -> Call:
        """A call of this kind, after the owner has prepared rows."""
        return kind(
            caller=self.caller,
            object=self.function,
            action=CALL,
            sent=[call_of(self.function, arguments)],
            copies=self.copies,
            own=self.own,
            **fields,
        )


class Functions:
    """The calls of functions. `copied` are the rows that callers read before any call."""

    def __init__(self, rows: RefusedRows) -> None:
        self._rows = rows
        self._impersonation, self._world, self._worlds = rows.impersonation, rows.world, rows.worlds
        self._plan, self._catalog = rows.world.plan, rows.world.plan.catalog
        self._arguments = Arguments(rows.world)
        self.copied: dict[tuple[int, tuple[str, ...]], Copies] = {}

    def may_know(self, function: Function, caller: Persona) -> bool:
        """Whether a function may tell a caller with a row or a claim from others."""
        table = table_of(caller)
        if table is not None:
            return table in self._rows.reads_of(function)
        return bool(caller.claim) and function.oid in self._plan.usage.conditions.asking

    def of_function(self, caller: Persona, function: Function) -> Iterator[Bypass]:
        """The calls of a function by a caller."""
        if caller.role not in function.callers:
            return
        if self._builds_sql(function):
            yield from self._injections(caller, function)
        reads = self._rows.reads_of(function)
        tables = {oid for oid in reads if oid in self._world.a.rows}
        is_volatile = function.volatility == "v"
        affected = {
            r.oid for r in self._catalog.tables if tables & self._plan.usage.reads.get(r.oid, set())
        }
        hidden = self._rows.hidden(caller, reads | affected if is_volatile else reads)
        if not hidden and not tables:
            return
        own = [
            row for row in self._rows.of_tables(tables | affected) if row not in self._rows.users
        ]
        watch = self._rows.watch(function, caller, own, tables) if is_volatile else Watch()
        unread = [row for row in own if is_volatile and row in hidden]
        may_reread = all(row.relation.may(caller.role, "SELECT") for row in unread)
        rereads = unread if may_reread else []
        afterwards: list[Statement] = []
        if rereads:
            afterwards.append(statements.exists((row, caller.role) for row in rereads))
        afterwards += self._rows.showing(watch)
        looks_up = [
            key
            for name in function.argument_names
            for key in self._plan.usage.bodies.arguments.get((function.oid, name), ())
        ]
        lists = self._arguments.lists(function, caller)
        copies = self._copies(caller, function)
        called = _Called(
            caller=caller,
            function=function,
            hidden=hidden,
            watch=watch,
            copies=copies,
            own=own_role(self._impersonation),
        )
        if function.definer and is_volatile and caller.is_outsider:
            yield from self._aged_call(called, lists[0])
        if function.definer:
            yield from self._calls_in_state(called)
            if caller.kind in _GENERAL_OUTSIDERS:
                yield from self._calls_with_null(called)
            if caller.kind == STRANGER:
                yield from self._calls_as_named(called)
        for arguments in lists:
            yield FunctionCall(
                caller=caller,
                object=function,
                action=CALL,
                sent=[call_of(function, arguments)],
                hidden=hidden,
                reads=reads if self._acts_as_owner(function) else (),
                looks_up=looks_up,
                watch=watch,
                rereads=rereads,
                afterwards=afterwards,
                copies=copies,
            )

    def _injections(self, caller: Persona, function: Function) -> Iterator[Injection]:
        """The calls with SQL in an argument."""
        for arguments in self._arguments.injections(function, caller):
            yield Injection(
                caller=caller,
                object=function,
                action=SQL,
                sent=[call_of(function, arguments)],
                is_statement=any(argument.text == STATEMENT for argument in arguments),
            )

    def _aged_call(self, called: _Called, arguments: Sequence[Constant]) -> Iterator[PreparedCall]:
        """A call of a function that compares times, on old rows."""
        function, watch = called.function, called.watch
        compares = re.search(r"\b(interval|now|current_\w+|age)\b", function.body, re.IGNORECASE)
        older = self._worlds.older(watch.rows)
        if compares and older and watch.statement is not None and self._worlds.is_possible:
            yield called.prepared(
                PreparedCall,
                arguments,
                watch=watch,
                prepared=older,
            )

    def _calls_in_state(self, called: _Called) -> Iterator[IdentifyingCall]:
        """Calls with ids of rows that are in the state that the function asks for: with one of
        tenant A beside others of the caller; and with all of tenant A, if its rows are in no such
        state by themselves.
        """
        caller, function = called.caller, called.function
        demanded = self._worlds.demanded(function)
        for chosen in self._arguments.identifying(function, caller):
            prepared = self._worlds.in_state(chosen.rows, demanded)
            if prepared and not self._worlds.is_possible:
                continue
            if not chosen.is_mixed and not (prepared and caller.kind in _GENERAL_OUTSIDERS):
                continue
            below = [*self._moved(caller, function, chosen.rows)] if chosen.is_mixed else []
            unique = {id(row): row for row in (*called.watch.rows, *chosen.rows)}
            rows = [row for row in unique.values() if row.relation.may(caller.role, "SELECT")]
            yield called.prepared(
                IdentifyingCall,
                chosen.arguments,
                hidden=called.hidden if chosen.is_mixed else (),
                watch=replace(called.watch, names=below, groups=()),
                prepared=prepared,
                known=rows,
                is_mixed=chosen.is_mixed,
                is_apart=chosen.is_apart,
                is_across=chosen.is_across,
            )

    def _moved(
        self, caller: Persona, function: Function, given: Sequence[Row]
    ) -> Iterator[tuple[Row, str]]:
        """The rows of tenant A, and their columns, below one of the rows `given` to a function that
        sets the column in other rows, or adds rows with it, which the tables do not let the caller
        add there.
        """
        usage, by_oid = self._plan.usage, self._catalog.by_oid
        added = {
            (oid, name) for oid in usage.bodies.adds[function.oid] for name in by_oid[oid].by_name
        }
        for oid, column in sorted(usage.bodies.sets[function.oid] | added):
            row = self._world.a.rows.get(oid)
            if row is None or (id(caller), id(row), INSERT) in self._rows.reached:
                continue
            for key in row.relation.foreign_keys:
                at = dict(zip(key.columns, key.target_columns, strict=True)).get(column)
                parents = [one for one in given if one.relation.oid == key.target]
                values_ = [one.values.get(at) for one in parents if at is not None]
                if row.values.get(column) in values_:
                    yield row, column

    def _calls_as_named(self, called: _Called) -> Iterator[NamedCall]:
        """Calls with ids of rows of tenant A that name the caller, in one column at a time: do they
        show what the tables refuse to whoever is named there?
        """
        caller, function = called.caller, called.function
        if not self._worlds.is_possible or caller.user is not self._world.b.owner:
            return
        persons = self._plan.per_user | self._plan.memberships.keys()
        others = next(self._arguments.identifying(function, caller), None)
        if others is None:
            return
        for oid, column in sorted(self._plan.usage.conditions.own[function.oid]):
            row = next((r for r in others.rows if r.relation.oid == oid), None)
            if row is None or oid in persons or column in row.key:
                continue
            below = [r for t, r in self._world.a.rows.items() if t in self._rows.reads_of(function)]
            rows = [*others.rows, *(r for r in below if r not in others.rows)]
            readable = [r for r in called.hidden if r.relation.may(caller.role, "SELECT")]
            yield called.prepared(
                NamedCall,
                others.arguments,
                hidden=called.hidden,
                watch=Watch(),
                prepared=self._worlds.ready(function, caller, rows, named=(oid, column)),
                known=[r for r in readable if r.relation.label != VAULT],
                named=(oid, column),
            )

    def _calls_with_null(self, called: _Called) -> Iterator[NullCall]:
        """Calls with NULL as the argument by which a function finds rows, also those without a
        value, of a row of tenant A without one.
        """
        caller, function = called.caller, called.function
        for name in function.argument_names[: len(function.argument_types)]:
            oid, column = self._plan.usage.bodies.null_arguments.get((function.oid, name), (0, ""))
            row = self._world.a.rows.get(oid)
            if row is None or column in row.key or row.relation.by_name[column].not_null:
                continue
            given = self._arguments.of_row(function, caller, row)
            number = function.argument_names.index(name)
            given[number] = Constant(None, function.argument_types[number])
            prepared = self._worlds.ready(function, caller, [row])
            yield called.prepared(
                NullCall,
                given,
                hidden=called.hidden,
                watch=called.watch,
                prepared=[*prepared, *self._worlds.in_state([row], {(oid, column): None})],
                known=[r for r in called.watch.rows if r.relation.may(caller.role, "SELECT")],
                by_null=name,
            )

    def _copies(self, caller: Persona, function: Function) -> Copies:
        """The rows that a caller reads in the tables into which a function inserts."""
        tables = [self._catalog.by_oid[oid] for oid in self._plan.usage.bodies.adds[function.oid]]
        read = [t for t in tables if t.is_table and t.may(caller.role, "SELECT")]
        labels = tuple(sorted(t.label for t in read if function.definer))
        known = self.copied.get((id(caller), labels))
        if known is None:
            texts = [statements.all_texts(t) for t in read if t.label in labels]
            composed = sql.SQL("select concat_ws(' ', {})").format(sql.SQL(", ").join(texts))
            query = Statement(composed.as_string(None))
            known = self.copied[id(caller), labels] = Copies(caller, query if texts else NOTHING)
        return known

    def _builds_sql(self, function: Function) -> bool:
        executes = re.search(r"\bexecute\b", function.body, re.IGNORECASE) is not None
        return executes and function.definer

    def _acts_as_owner(self, function: Function) -> bool:
        """Whether a function reads anything as somebody else than its caller: itself, or by
        functions and views that it names.
        """
        waiting, seen = [function], {function.oid}
        while waiting:
            one = waiting.pop()
            words = set(re.findall(r"\w+", one.body))
            views = (r for r in self._catalog.relations if not r.is_table and r.name in words)
            if one.definer or any(not view.invoker for view in views):
                return True
            more = [f for f in self._catalog.functions if f.name in words and f.oid not in seen]
            seen |= {f.oid for f in more}
            waiting += more
        return False


def table_of(caller: Persona) -> int | None:
    """The table of the row from which the rights of a caller follow."""
    user = caller.user
    if user is None or caller.claim:
        return None
    if user.post is not None:
        return user.post.relation.oid
    if user.standing is not None and user.membership is not None:
        return user.membership.relation.oid
    return None if user.state is None else user.state.relation.oid
