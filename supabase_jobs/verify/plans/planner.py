"""Plan statements with EXPLAIN, as an identity or as the connection's own role, and query the
catalogs, in batches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from supabase_jobs.database import query_plan
from supabase_jobs.database.batch import Statement
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS, sqlstate_and_message
from supabase_jobs.database.query_plan import QueryPlan
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.session import script
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.impersonation import (
    Impersonation,
    Params,
    caller_statement,
    check_caller,
)
from supabase_jobs.session.runner import Runner, Task
from supabase_jobs.session.steps import Steps
from supabase_jobs.verify.context import Context

Settings = Mapping[str, str]

_CATALOG = Path(__file__).with_name("catalog")
_EXPLAIN = "explain (verbose, costs off, format json) "
_PROOF = {"constraint_exclusion": "on"}


class NoPlanError(Exception):
    """PostgreSQL cannot plan a statement; the message is the reason."""


@dataclass(frozen=True)
class Explain:
    """A statement to plan. Without an identity, the connection's own role plans it.

    With `params` None, a % in the statement is literal.
    """

    statement: str
    identity: Caller | None
    settings: Settings
    params: Params | None = None


Result = TypeVar("Result")
# A check yields statements, is sent their results, and returns a result.
Check = Steps[Result]


class Planner:
    """Runs checks on one connection; `params` are the parameters of declared statements."""

    def __init__(self, session: Impersonation, context: Context) -> None:
        self._session = session
        self._runner = Runner(session, context.deadline)
        self.params = session.params({name: name for name in session.ids})
        self._literals = script.quoted(self.params)

    def run(self, checks: Sequence[Check[Result]], results: list[Result]) -> None:
        """Run checks side by side: one round trip is the next step of each. Appends their results,
        in order.

        If a check fails, it appends the results of those before it, and then raises psycopg's error
        (the connection's own role lacks a privilege, a statement was cancelled) or DeadlineError.
        """
        tasks = [Task(check) for check in checks]
        try:
            self._runner.run(tasks)
        finally:
            results += [result for task in tasks for result in task.results]

    def catalog(self, name: str, *params: Any) -> Check[Sequence[tuple[Any, ...]]]:
        """The rows of the query `catalog/<name>.sql`, whose parameters are $1, $2, …."""
        [result] = yield [[sql_file(_CATALOG / f"{name}.sql").statement(*params)]]
        return result.answer().rows

    def plan(self, request: Explain) -> Check[QueryPlan]:
        """The plan of a statement. Raises NoPlanError if PostgreSQL rejects the statement or a rule
        replaces it.
        """
        preparation = self._preparation(request)
        explain = Statement(_EXPLAIN + request.statement, request.params)
        [result] = yield [[*preparation, explain]]
        if isinstance(result.error, INCONCLUSIVE_ERRORS):
            raise result.error
        if result.error is not None:
            # missing privileges of the connection's own role are no property of the database
            own = request.identity is None and isinstance(
                result.error, psycopg.errors.InsufficientPrivilege
            )
            if own or len(result.answers) < len(preparation):
                raise result.error
        if request.identity is not None:
            check_caller(self._session, request.identity, result.answers[len(preparation) - 1])
        if result.error is not None:
            raise NoPlanError(sqlstate_and_message(result.error))
        [[parts]] = result.answer().rows
        plans: list[QueryPlan] = [
            part["Plan"] for part in parts if isinstance(part, dict) and "Plan" in part
        ]
        if not plans:
            raise NoPlanError("a rule replaces the statement, and no table is read")
        return plans[-1]  # EXPLAIN lists the statements of DO ALSO rules before the original one

    def proves_empty(self, statement: str) -> Check[bool]:
        """Whether the planner proves that a statement returns no row, whatever its tables contain.
        Raises NoPlanError.
        """
        return query_plan.is_empty((yield from self.plan(Explain(statement, None, _PROOF))))

    def _preparation(self, request: Explain) -> list[Statement]:
        """The statements before EXPLAIN: first the settings, then the identity."""
        pairs = [part for pair in request.settings.items() for part in pair]
        calls = ", ".join(["set_config(%s, %s, true)"] * len(request.settings))
        settings = Statement(f"select {calls}", pairs)
        if request.identity is None:
            return [settings]
        return [settings, caller_statement(self._caller(request.identity))]

    def _caller(self, declared: Caller) -> Caller:
        return declared.filled(self._session.texts)

    def catalog_script(self, name: str, objects: Sequence[str]) -> str:
        """The query `catalog/<name>.sql` for these objects, as a script for psql."""
        text = sql_file(_CATALOG / f"{name}.sql").text
        return script.probe((), "", text.replace("$1", script.quoted({"": list(objects)})[""]))

    def script(
        self,
        statement: str,
        identity: Caller | None,
        settings: Settings,
        *,
        declared: bool = False,
    ) -> str:
        """The EXPLAIN that `plan` runs, as a script for psql; only `declared` statements have
        parameters.
        """
        values = {**settings, **(self._caller(identity).all_settings() if identity else {})}
        become = script.role(identity.role if identity else self._session.own_role, values)
        return script.probe(
            (), become, "explain (verbose) " + statement, self._literals if declared else None
        )
