"""Run the declared scenarios of functions, triggers and cascades; report each that deviates.

Must run inside a transaction that the caller rolls back.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.connection import Connection
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.findings import Case, Finding, Fix, Id, Severity
from supabase_jobs.session import script
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import Impersonation, begin
from supabase_jobs.verify import other_values, ownership, row_by_row
from supabase_jobs.verify.allowed import narrowing
from supabase_jobs.verify.context import Context, Trace
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.fixture import FIX_DISCARDED_ROWS, insert_fixture
from supabase_jobs.verify.functions import AREA, client_values, scenarios
from supabase_jobs.verify.functions.runner import (
    NO_VERSIONS,
    Deviation,
    LeftOutError,
    NotRunError,
    RefusedError,
    ScenarioProbe,
    ScenarioRunner,
    UncheckedError,
    format_change,
    format_rows,
    scenario_runner,
)
from supabase_jobs.verify.functions.scenarios import (
    ALL_IDS,
    VERSIONS,
    Scenario,
    Scenarios,
    ScenarioStep,
)
from supabase_jobs.verify.ownership import ManagedTables

# Scenarios in a round trip on a database in use. A `repeated` run is local, and stops after the
# batch of the first deviation.
_BATCH = 100
_REPEATED_BATCH = 8

_NO_TABLES = ManagedTables()
_SLOW_DELETES = sql_file(Path(__file__).with_name("slow_deletes.sql"))

_FIX_REQUIRED = "Fix or accept what blocks the scenario that it requires."


def check(connection: Connection, expectations: Expectations, context: Context) -> None:
    """Check the area: run the scenarios of these sources against this database."""
    if (file := context.declaration_file(AREA, expectations, scenarios.FILE_NAME)) is not None:
        managed = ownership.managed_objects(expectations)
        tables = ownership.managed_tables(expectations)
        declared = scenarios.load(file, expectations.variables)
        run(connection, declared, expectations.variables, context, managed, tables)


def run(
    connection: Connection,
    declared: Scenarios,
    variables: Mapping[str, object],
    context: Context,
    managed: Collection[str] = (),
    tables: ManagedTables = _NO_TABLES,
) -> None:
    """Run every scenario inside a savepoint; add one finding for each that deviates.

    `variables` fill the placeholders that are not ids. If a table that is not among `managed` makes
    a scenario fail, the scenario counts as unchecked. User columns of the managed `tables` are not
    compared. Each batch inserts the fixture rows, and undoes them.
    """
    impersonation = begin(connection, AREA, declared.ids, declared.placeholders, variables)

    def attempt(context: Context, texts: other_values.Texts) -> None:
        changed = _replaced(declared, texts)
        _run(impersonation, changed, variables, context, managed, tables)

    other_values.until_none_refuses(context, declared.fixture.other_values, attempt)


def _run(
    impersonation: Impersonation,
    declared: Scenarios,
    variables: Mapping[str, object],
    context: Context,
    managed: Collection[str],
    tables: ManagedTables,
) -> None:
    scripts = _Scripts(impersonation, declared)
    context.preambles[AREA] = scripts.preamble()
    if (
        inserted := insert_fixture(impersonation, AREA, declared.fixture, context, managed)
    ) is None:
        return
    left_out = inserted.left_out
    if inserted.texts or left_out:
        declared = _replaced(declared, inserted.texts)
        declared = replace(declared, fixture=declared.fixture.without(left_out))
        scripts = _Scripts(impersonation, declared)
    context.preambles[AREA] = scripts.preamble(inserted.users)
    runner = scenario_runner(
        impersonation, declared, variables, inserted.frame, context.deadline, managed, tables
    )
    rows = runner.fixture_rows.keys() | left_out
    if missing := [name for name in declared.fixture_ids if name not in rows]:
        why = f"the fixture rows {', '.join(missing)} are missing after their insert"
        id, severity = Id(AREA, "fixture"), Severity.ERROR
        context.mark_unchecked(AREA, "fixture", why, FIX_DISCARDED_ROWS, id=id, severity=severity)
        return
    objects = row_by_row.running(impersonation.connection, managed) if managed else []
    if not objects:
        declared = declared.without_objects()
    _run_all(runner, declared, scripts, context)
    context.findings += runner.columns.findings()
    if objects and not context.repeated:
        client_values.check(runner, declared.client_values, objects, managed, context)


def _replaced(declared: Scenarios, texts: other_values.Texts) -> Scenarios:
    """The declaration with other values; what is documented gets other URLs only."""
    changed, urls = other_values.replaced(declared, texts), other_values.of_urls(texts)
    scenarios = tuple(
        other_values.replaced(one, urls) if one.documented else other
        for one, other in zip(declared.scenarios, changed.scenarios, strict=True)
    )
    return replace(changed, scenarios=scenarios)


def _run_all(
    runner: ScenarioRunner, declared: Scenarios, scripts: "_Scripts", context: Context
) -> None:
    outcomes: dict[str, list[Deviation] | UncheckedError] = {}
    not_run = _not_run(runner, declared.scenarios) if context.in_use else {}
    for scenario in declared.scenarios:
        if not declared.fixture.left_out.isdisjoint(scenario.ids):
            not_run[scenario.name] = LeftOutError(scenario.name)
    try:
        _run_batches(runner, declared.scenarios, not_run, outcomes, context)
    finally:  # after an error too: it keeps what was found before
        for scenario in declared.scenarios:
            if (outcome := outcomes.get(scenario.name)) is not None:
                _report(scenario, outcome, scripts, context)


def _not_run(runner: ScenarioRunner, scenarios: Sequence[Scenario]) -> dict[str, UncheckedError]:
    """The scenarios whose deletes take long, while others may wait for the users of the fixture."""
    tables = sorted({scenario.deletes for scenario in scenarios if scenario.deletes})
    if not tables:
        return {}
    slow: dict[str, NotRunError] = {}
    for table, largest, size, fix, tried in _SLOW_DELETES.rows(
        runner.impersonation.connection, tables
    ):
        why = f"not tried on a database in use: a delete in {table} reads all of {largest} ({size})"
        slow[table] = NotRunError(why, Fix(fix, tried))
    return {one.name: slow[one.deletes] for one in scenarios if one.deletes in slow}


def _run_batches(
    runner: ScenarioRunner,
    scenarios: Sequence[Scenario],
    not_run: Mapping[str, UncheckedError],
    outcomes: dict[str, list[Deviation] | UncheckedError],
    context: Context,
) -> None:
    """Run the scenarios. On a database in use, a scenario runs after the batches of those that it
    requires: they prove that it reaches no row of others. Elsewhere one batch has all of them.

    Fills `outcomes`, up to the first deviation if the run is `repeated`. A scenario that requires
    one without a result is not run, or has none. It is unchecked too, unless an error explains why.
    """
    required = _Required(outcomes)
    pending = {scenario.name: scenario for scenario in scenarios}
    alone = runner.without_fixture()
    most = _most(context)
    while pending:
        ready = [
            scenario
            for scenario in pending.values()
            if most is None or pending.keys().isdisjoint(scenario.requires)
        ]
        batch = ready[:most]
        probes = [
            ScenarioProbe(
                alone if scenario.without_fixture else runner, scenario, not_run.get(scenario.name)
            )
            for scenario in batch
        ]
        waiting = [probe for probe in probes if probe.outcome is None]
        try:
            for running in (runner, alone):
                running.run([probe for probe in waiting if probe.runner is running])
        finally:  # after an error too: those before it are complete
            outcomes.update(_complete(probes, context))
        for scenario in batch:
            if (outcome := outcomes.get(scenario.name)) is None:
                return
            del pending[scenario.name]
            if required.is_missing(scenario):
                continue
            if isinstance(outcome, UncheckedError) or _explanation(scenario, outcome, context):
                required.unchecked.add(scenario.name)
            elif outcome:
                required.deviating.add(scenario.name)
        for scenario in [*pending.values()]:
            if required.is_missing(scenario):
                del pending[scenario.name]


def _most(context: Context) -> int | None:
    """The most scenarios of a round trip; None if all of them share one."""
    if context.repeated:
        return _REPEATED_BATCH
    return _BATCH if context.in_use else None


@dataclass(frozen=True)
class _Required:
    """The names of the scenarios that others may require, and that have not passed."""

    outcomes: dict[str, list[Deviation] | UncheckedError]
    deviating: set[str] = field(default_factory=set)
    unchecked: set[str] = field(default_factory=set)

    def is_missing(self, scenario: Scenario) -> bool:
        """Whether a scenario requires one of them; then it has no outcome, or is unchecked."""
        if not self.deviating.isdisjoint(scenario.requires):
            self.deviating.add(scenario.name)
            self.outcomes.pop(scenario.name, None)
            return True
        blocking = next((name for name in scenario.requires if name in self.unchecked), None)
        if blocking is None:
            return False
        self.unchecked.add(scenario.name)
        why = f'{scenario.name}: it requires "{blocking}", which did not pass'
        is_left_out = isinstance(self.outcomes[blocking], LeftOutError)
        error = LeftOutError if is_left_out else UncheckedError
        self.outcomes[scenario.name] = error(why, _FIX_REQUIRED)
        return True


def _complete(
    probes: Sequence[ScenarioProbe], context: Context
) -> Iterator[tuple[str, list[Deviation] | UncheckedError]]:
    """The outcomes of the probes, up to the first deviation if the run is `repeated`."""
    for probe in probes:
        scenario, outcome = probe.scenario, probe.outcome
        if outcome is None:
            return
        yield scenario.name, outcome
        is_explained = isinstance(outcome, UncheckedError) or _explanation(
            scenario, outcome, context
        )
        if context.repeated and outcome and not is_explained:
            return


def _report(
    scenario: Scenario,
    outcome: list[Deviation] | UncheckedError,
    scripts: "_Scripts",
    context: Context,
) -> None:
    is_left_out = isinstance(outcome, LeftOutError) or (
        isinstance(outcome, NotRunError) and scenario.documented
    )
    if is_left_out and f"{AREA}:fixture" in context.unchecked:  # that finding says why
        return
    if not context.repeated:
        script_of = partial(scripts.of, scenario)
        context.cases.append(
            Case(
                id=_id(scenario),
                area=AREA,
                object=scenario.subject,
                name=scenario.name,
                script=script_of,
            )
        )
    if isinstance(outcome, NotRunError):
        context.findings.append(
            Finding(
                id=_id(scenario),
                area=AREA,
                severity=Severity.INFO,
                object=scenario.subject,
                message=f"{scenario.name}: {outcome}",
                fix=outcome.fix,
            )
        )
    elif isinstance(outcome, RefusedError):
        context.refusing += outcome.refusing
        context.findings.append(
            Finding(
                id=_id(scenario),
                area=AREA,
                severity=Severity.ERROR,
                object=scenario.subject,
                message=str(outcome),
                fix=outcome.fix,
            )
        )
        _add_trace(scenario, context)
    elif isinstance(outcome, UncheckedError):
        context.mark_unchecked(
            AREA,
            scenario.subject,
            str(outcome),
            outcome.fix,
            id=_id(scenario),
            refusing=outcome.refusing,
        )
    elif outcome:
        finding = _deviation(scenario, outcome, context)
        context.findings.append(finding)
        if finding.severity is Severity.ERROR:
            raised = next((one.raised for one in outcome if one.raised), "")
            _add_trace(scenario, context, raised)
        if context.allowed.narrowings_unknown:
            context.equivalence.needed[_id(scenario)] = []


def _add_trace(scenario: Scenario, context: Context, raised: str = "") -> None:
    statements = (scenario.subject, *scenario.given, *(step.call for step in scenario.steps))
    context.evidence.traces[_id(scenario)] = Trace(statements=statements, raised=raised)


class _Scripts:
    """Each scenario as SQL for psql. A setting holds the array of all ids, so that the statements
    stay readable.
    """

    def __init__(self, impersonation: Impersonation, declared: Scenarios) -> None:
        array = "{" + ",".join(map(str, impersonation.ids.values())) + "}"
        literals = script.quoted({**impersonation.ids, ALL_IDS: array})
        ids = f"select set_config('verify.ids', %({ALL_IDS})s, true) is not null as ids"
        self._set_ids = script.filled(ids, literals)
        self._impersonation = impersonation
        self._fixture = declared.fixture
        self._watch = declared.watch.replace(f"%({VERSIONS})s", NO_VERSIONS)
        self._literals = {**literals, ALL_IDS: "current_setting('verify.ids')::uuid[]"}
        names: set[str] = set()
        for scenario in declared.scenarios:
            for step in scenario.steps:
                names.update(step.identity.all_settings() if step.identity else ())
        self._back = script.setting(
            {**dict.fromkeys(sorted(names), ""), "role": impersonation.own_role}
        )

    def preamble(self, users: Sequence[Statement] | None = None) -> str:
        """The beginning of every script. `users` are the statements that created the users, if they
        are known.
        """
        fixture = self._fixture.script(self._impersonation, users)
        return script.preamble(
            "Scenarios of functions, triggers and cascades.", fixture + self._set_ids
        )

    def of(self, scenario: Scenario) -> str:
        """The scenario's part of its script."""
        calls = [
            (
                script.caller(caller) if (caller := self._caller(step)) else "",
                step.call,
            )
            for step in scenario.steps
        ]
        expected = [
            f"declared: {step.error or format_rows(step.result)}" for step in scenario.steps
        ]
        changes = [
            f"declared: {name} is {format_change(change)}"
            for name, change in scenario.changes.items()
        ]
        return script.scenario(
            (f"{scenario.subject}: {scenario.name}", *expected, *changes),
            scenario.given,
            calls,
            self._literals,
            watch=self._watch,
            back=self._back,
            deferred=bool(self._impersonation.deferred),
        )

    def _caller(self, step: ScenarioStep) -> Caller | None:
        return step.identity and step.identity.filled(self._impersonation.texts)


def _id(scenario: Scenario) -> Id:
    return Id(AREA, scenario.subject, scenario.name)


def _deviation(scenario: Scenario, deviations: Sequence[Deviation], context: Context) -> Finding:
    message = f"{scenario.name}: {'; '.join(deviation.text for deviation in deviations)}"
    severity = Severity.ERROR
    fix = f"{scenario.subject}, or an object that it uses, differs from the migrations."
    if explanation := _explanation(scenario, deviations, context):
        severity, message, fix = Severity.INFO, f"{message}: {explanation}", narrowing.FIX
    return Finding(
        id=_id(scenario),
        area=AREA,
        severity=severity,
        object=scenario.subject,
        message=message,
        fix=fix,
    )


def _explanation(
    scenario: Scenario, deviations: Sequence[Deviation], context: Context
) -> str | None:
    """Why the deviations are accepted: an allowed policy narrows what callers see and change, or a
    privilege that they lack.
    """
    if not deviations or not all(deviation.narrower for deviation in deviations):
        return None
    roles = [step.identity.role for step in scenario.steps if step.identity]
    is_denied = any(deviation.is_denied for deviation in deviations)
    policy = narrowing.of_calls(context, roles, is_denied=is_denied)
    return None if policy is None else policy.explanation
