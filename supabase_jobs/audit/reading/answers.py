"""Reads the answers of views and functions as facts."""

from collections.abc import Iterator
from dataclasses import replace

from supabase_jobs.audit.catalog import USERS, VAULT, Relation
from supabase_jobs.audit.facts.answers import Said
from supabase_jobs.audit.facts.calls import (
    Bearer,
    Called,
    Effects,
    Ending,
    Given,
    Injected,
    Numbers,
)
from supabase_jobs.audit.facts.views import View, ViewTried
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.probes.bypass import (
    SQL,
    Bypass,
    FunctionCall,
    IdentifyingCall,
    Injection,
    NamedCall,
    NullCall,
    PreparedCall,
    ViewWrite,
)
from supabase_jobs.audit.probes.ended_calls import AddressedCall, EndedCall, ForeignCall, RowCall
from supabase_jobs.audit.probes.number_calls import NumberCall, RepeatedCall
from supabase_jobs.audit.probes.selected_rows import StateUse
from supabase_jobs.audit.reading.actors import Actors
from supabase_jobs.audit.reading.functions import Functions
from supabase_jobs.audit.reading.tables import Tables
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.values import TIMES
from supabase_jobs.outcomes import ROWS
from supabase_jobs.session.action import Action, Call, Constant


class Answers:
    """The answers of views and functions to callers."""

    def __init__(self, plan: Plan, tables: Tables, actors: Actors, functions: Functions) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._tables, self._actors, self._functions = tables, actors, functions
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
            view=self._views[view.label],
            action=bypass.action,
            said=self._said(bypass),
            changed=self._tables.labels(bypass.effects.changed),
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
                found |= {n for of, n in plan.usage.persons.users if of == oid}.difference(own)
        return found

    def _selects(self, view: Relation) -> bool:
        """Whether the rows that a view selects say themselves that it shows them: by a flag, a
        state, or a value that is shown if there is one, such as a public name.
        """
        for (oid, name), operator, text in self._plan.usage.policies.selecting.get(view.oid, ()):
            is_time = self._catalog.by_oid[oid].by_name[name].base in TIMES
            is_shown = operator == expressions.IS_NOT_NULL and name in view.by_name
            if (operator == "=" and text is not None) or (is_shown and not is_time):
                return True
        return False

    def of_call(self, bypass: Bypass) -> Called:
        """A call of a function."""
        function = bypass.object
        assert not isinstance(function, Relation)  # noqa: S101  filtered above
        touched = self._touched(bypass)
        return Called(
            actor=self._actors.of(bypass.caller),
            function=self._functions.of(function),
            said=self._said(bypass),
            sqlstate="" if bypass.error is None else bypass.error.sqlstate or "",
            touched=touched,
            unread=self._functions.unread(function, touched),
            given=self._given(bypass),
            effects=self._effects(bypass),
            ending=_ending(bypass),
            bearer=self._bearer(bypass),
            numbers=self._numbers(bypass),
            injected=Injected(
                runs_sql=bypass.action == SQL and bypass.outcome == ROWS,
                runs_statement=isinstance(bypass, Injection) and bypass.is_statement,
            ),
        )

    def _touched(self, bypass: Bypass) -> list[str]:
        """The tables that a function names and whose rows are refused to its caller."""
        named = self._plan.usage.bodies.function_reads.get(bypass.object.oid, ())
        return self._tables.labels(row for row in bypass.hidden if row.relation.oid in named)

    def _said(self, bypass: Bypass) -> Said:
        """The rows about which an answer says something."""
        said, labels = bypass.said, self._tables.labels
        return Said(
            shown=labels(said.shown),
            identified=labels(said.identified),
            derived=labels(said.derived),
            existing=labels(said.existing),
            counted=labels(said.counted),
            has_secret=any(row.relation.label == VAULT for row in said.shown),
        )

    def _given(self, bypass: Bypass) -> Given:
        """The arguments of a call."""
        if isinstance(bypass, FunctionCall):
            [call, *_] = bypass.sent
            arguments = list(_arguments(bypass, call))
            return Given(
                arguments=call.statement.sql,
                is_general=bypass.is_general,
                names_others=bypass.names_others,
                texts=[name for name, value in arguments if _is_text(value)],
                nulls=[name for name, value in arguments if value.text is None],
            )
        if isinstance(bypass, IdentifyingCall):
            is_together = not bypass.is_apart and not bypass.is_across
            return Given(is_pair=bypass.is_mixed and is_together)
        if isinstance(bypass, NamedCall):
            return Given(named=self._column(bypass.named))
        return Given(by_null=bypass.by_null) if isinstance(bypass, NullCall) else Given()

    def _effects(self, bypass: Bypass) -> Effects:
        """The rows that a call changes or opens."""
        opened = [] if isinstance(bypass, RowCall) else bypass.effects.opened
        return Effects(
            changed=self._tables.labels(bypass.effects.changed),
            recounted=self._tables.labels(bypass.effects.recounted),
            forged=self._tables.labels(bypass.effects.forged),
            addressed=self._tables.labels(bypass.effects.addressed),
            joined=self._tables.labels(bypass.effects.joined),
            added=self._tables.labels(bypass.effects.added),
            below=self._tables.labels(bypass.below) if isinstance(bypass, PreparedCall) else (),
            opened=self._tables.labels(opened),
        )

    def _bearer(self, bypass: Bypass) -> Bearer:
        """Whose the row is whose secret a call gets."""
        if not isinstance(bypass, RowCall):
            return Bearer()
        regained = self._tables.labels(bypass.effects.opened)
        if isinstance(bypass, ForeignCall):
            return Bearer(across=bypass.of.label, regained=regained)
        if isinstance(bypass, AddressedCall):
            asked = self._plan.usage.request.claims.get(("email",), ())
            return Bearer(
                addressee=self._column(bypass.addressee),
                is_asked_elsewhere=bypass.addressee in asked,
                regained=regained,
            )
        return Bearer(regained=regained)

    def _numbers(self, bypass: Bypass) -> Numbers:
        """The numbers of the caller that a call raises."""
        if not isinstance(bypass, NumberCall):
            return Numbers()
        raised = [self._column(key) for key in sorted(bypass.raised)]
        free = [self._column(key) for key in sorted(bypass.free)]
        if isinstance(bypass, RepeatedCall):
            added = [self._catalog.by_oid[oid].label for oid in sorted(bypass.added)]
            return Numbers(free=free, repeated=raised, added_again=added)
        return Numbers(raised=raised, free=free)

    def _column(self, key: ColumnKey) -> str:
        """A column with its table."""
        oid, name = key
        return f"{self._catalog.by_oid[oid].label}.{name}"


def _ending(bypass: Bypass) -> Ending:
    """How the row has ended that a call finds by a secret."""
    if not isinstance(bypass, RowCall):
        return Ending()
    valid = Ending(is_own=bypass.is_own, writes=bypass.written > 0)
    if not isinstance(bypass, EndedCall):
        return valid
    return replace(
        valid,
        ended=bypass.state,
        ended_column=f"{bypass.ended.relation.label}.{bypass.ended.column}",
        remedy=bypass.ended.advice,
        is_of_above=bypass.is_of_above,
    )


def _arguments(bypass: FunctionCall, call: Action) -> Iterator[tuple[str, Constant]]:
    """The names and values of the arguments of a call."""
    if not isinstance(bypass.object, Relation) and isinstance(call, Call):
        yield from zip(bypass.object.argument_names, call.arguments, strict=False)


def _is_text(given: Constant) -> bool:
    return given.text is not None and given.type in ("text", "character varying")
