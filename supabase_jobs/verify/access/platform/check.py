"""Try each thing that the platform runs, and report what fails or makes somebody another caller."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from supabase_jobs.findings import Case, Finding
from supabase_jobs.session.frame import Frame
from supabase_jobs.session.impersonation import Impersonation
from supabase_jobs.session.runner import Runner
from supabase_jobs.verify.access import AREA
from supabase_jobs.verify.access.matrix import Reach
from supabase_jobs.verify.access.platform import accounts, sign_ups
from supabase_jobs.verify.access.platform.auth import Auth
from supabase_jobs.verify.access.platform.before_requests import before_requests
from supabase_jobs.verify.access.platform.identities import identities
from supabase_jobs.verify.access.platform.logins import logins
from supabase_jobs.verify.access.platform.token_hook import Written, hooks
from supabase_jobs.verify.access.platform.trial import Function, Row, Trial
from supabase_jobs.verify.access.platform.unconfirmed import unconfirmed
from supabase_jobs.verify.access.platform.written import written as written_by_auth
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.structure import catalog

QUERY = Path(__file__).with_name("functions.sql")


def check(
    impersonation: Impersonation,
    rows: Sequence[Row],
    written: Written,
    reached: Reach,
    context: Context,
) -> None:
    """Add a case for each thing that the platform runs, and a finding for each that fails, or that
    makes somebody another caller.

    `rows` are those of `QUERY`, and `reached` says what a user owns. Comes after the fixture
    rows: the server names a function in errors as the first search_path of the session under which
    it ran sees it, and that is PostgREST's. On a database in use nothing is run, because what hooks
    and triggers do outside the transaction is not undone.
    """
    if context.in_use:
        return
    found: dict[str, list[Function]] = {}
    for kind, name, text, literals in rows:
        found.setdefault(kind, []).append(Function(name, text, literals))
    auth = Auth(has_role="acts as Auth" in found)
    tables = [table.name for table in found.get("table", ())]
    triggers = found.get("sign-up trigger", ())
    triggered = [table.name for table in found.get("trigger of Auth", ())]
    trials = [
        *sign_ups.trials(tables, triggers, auth),
        *hooks(found.get("token hook", ()), triggers, written, auth),
        *(accounts.beside_others(tables, reached, impersonation, auth) if triggered else ()),
        *([written_by_auth(tables, auth)] if triggered else ()),
        *unconfirmed(tables, triggered, found.get("identity", ()), auth),
        *identities(found.get("identity", ()), written.sources, auth),
        *before_requests(found.get("function before requests", ())),
        *logins(found.get("event trigger of logins", ()), auth),
    ]
    Runner(impersonation, context.deadline, Frame(undo=context.undo)).run(trials)
    _report(impersonation, trials, context)


def hooks_of_messages(rows: Sequence[Row]) -> dict[str, str]:
    """The texts of the hooks, among the rows of `QUERY`, that Auth calls with a code or an attempt,
    by their names.
    """
    return {name: text for kind, name, text, _ in rows if kind == "other hook"}


def _report(impersonation: Impersonation, trials: Iterable[Trial], context: Context) -> None:
    """Add the cases and findings of the trials, and of each cause one finding."""
    failed: set[str] = set()
    for trial in trials:
        case = Case(
            id=trial.id,
            area=AREA,
            object=trial.object,
            name="the platform can run it, and nobody gains",
        )
        if case.id not in {known.id for known in context.cases}:
            context.cases.append(catalog.with_script(case, QUERY, trial.object, context))
        problem = trial.problem
        if problem is None or problem.cause in failed:
            continue
        failed |= {problem.cause} - {""}
        problem = sign_ups.with_any_metadata(impersonation, problem, context)
        if problem is not None and case.id not in {known.id for known in context.findings}:
            finding = Finding(
                id=case.id,
                area=AREA,
                severity=problem.severity,
                object=trial.object,
                message=problem.message,
                fix=problem.fix,
            )
            context.findings.append(finding)
