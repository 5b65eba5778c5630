"""Call functions, fire triggers, delete what cascades, and judge each by what rows changed; all rolled back.

Works for any declaration; knows no function and no table. Expects to be called inside a transaction that is
rolled back.
"""

from collections.abc import Collection, Mapping
from functools import partial

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Case, Finding, Severity
from supabase_jobs.verify import ownership, script
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.functions import AREA, scenarios
from supabase_jobs.verify.functions.runner import InTheWayError, Stage, on_stage, shown, told
from supabase_jobs.verify.functions.scenarios import ALL_IDS, Scenario, Scenarios, Step
from supabase_jobs.verify.impersonation import FIX_DISCARDED_ROWS, Impersonation, begin, insert_fixture


def check(connection: Connection, expectations: Expectations, result: Context) -> None:
    """The area: the scenarios of these sources, against this database."""
    if (file := result.declaration_file(AREA, expectations, scenarios.FILE_NAME)) is not None:
        run(connection, scenarios.load(file), expectations.variables, result, ownership.managed_objects(file))


def run(
    connection: Connection,
    declared: Scenarios,
    variables: Mapping[str, object],
    result: Context,
    ours: Collection[str] = (),
) -> None:
    """Run every scenario, undone by a savepoint; one finding for each that is not as declared.

    `variables` fill the placeholders that are not ids. Where a table that is not among `ours` is in the way, the
    scenario is not checked. The fixture rows stay until the caller rolls its transaction back.
    """
    session = begin(connection, AREA, declared.ids, declared.placeholders, variables)
    scripts = _Scripts(session, declared)
    result.preambles[AREA] = scripts.preamble
    if not insert_fixture(session, AREA, declared.fixture, result, ours):
        return
    with on_stage(session, declared.watch, variables, ours) as stage:
        if missing := [name for name in declared.planted if name not in stage.planted]:
            result.unchecked.append(AREA)
            result.findings.append(_nothing_there(missing))
        else:
            _play_all(stage, declared, scripts, result)


def _play_all(stage: Stage, declared: Scenarios, scripts: "_Scripts", result: Context) -> None:
    deviating: set[str] = set()
    for scenario in declared.scenarios:
        if result.should_stop:
            break
        result.check_deadline()
        if not deviating.isdisjoint(scenario.after):
            deviating.add(scenario.name)
            continue
        if not result.repeated:
            asked = partial(scripts.of, scenario)
            result.cases.append(Case(_id(scenario), AREA, scenario.subject, scenario.name, asked))
        try:
            deviations = list(stage.play(scenario))
        except InTheWayError as error:
            result.mark_unchecked(AREA, scenario.subject, str(error), error.fix, id=_id(scenario))
            continue
        if deviations:
            deviating.add(scenario.name)
            result.findings.append(_deviation(scenario, deviations))


class _Scripts:
    """Each scenario as SQL for psql. The array of all ids is a setting there, or nobody could read it."""

    def __init__(self, session: Impersonation, declared: Scenarios) -> None:
        array = "{" + ",".join(map(str, session.ids.values())) + "}"
        literals = script.quoted({**session.ids, ALL_IDS: array})
        ids = f"select set_config('verify.ids', %({ALL_IDS})s, true) is not null as ids"
        self.preamble = script.preamble(
            "What functions, triggers and cascades do, by the rows that change.", [*declared.fixture, ids], literals
        )
        self._session = session
        self._watch = declared.watch
        self._literals = {**literals, ALL_IDS: "current_setting('verify.ids')::uuid[]"}
        names = {name for scenario in declared.scenarios for step in scenario.steps for name in self._settings(step)}
        self._back = script.setting({**dict.fromkeys(sorted(names), ""), "role": session.own_role})

    def of(self, scenario: Scenario) -> str:
        """The scenario's own part of its script."""
        calls = [
            (script.identity(step.identity.role, self._settings(step)) if step.identity else "", step.call)
            for step in scenario.steps
        ]
        expected = [f"declared: {step.error or shown(step.result)}" for step in scenario.steps]
        changes = [f"declared: {name} is {told(change)}" for name, change in scenario.changes.items()]
        return script.scenario(
            (f"{scenario.subject}: {scenario.name}", *expected, *changes),
            scenario.given,
            calls,
            self._literals,
            watch=self._watch,
            back=self._back,
        )

    def _settings(self, step: Step) -> dict[str, str]:
        return step.identity.settings_for(self._session.texts) if step.identity else {}


def _id(scenario: Scenario) -> str:
    return f"{AREA}:{scenario.subject}:{scenario.name}"


def _deviation(scenario: Scenario, deviations: list[str]) -> Finding:
    return Finding(
        id=_id(scenario),
        area=AREA,
        severity=Severity.ERROR,
        object=scenario.subject,
        message=f"{scenario.name}: {'; '.join(deviations)}",
        fix=f"Create {scenario.subject} again as the migration does. `verify --only structure` names what differs.",
    )


def _nothing_there(missing: list[str]) -> Finding:
    return Finding(
        id=f"{AREA}:fixture",
        area=AREA,
        severity=Severity.ERROR,
        object="fixture",
        message=f"{AREA} was not checked: the test rows {', '.join(missing)} are not there after planting them",
        fix=FIX_DISCARDED_ROWS,
    )
