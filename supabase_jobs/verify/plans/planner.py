"""Plan statements with EXPLAIN, as an identity or as the connection's own role, and query the
catalogs, in batches.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement, run_groups
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS, sqlstate_and_message
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.errors import SupabaseJobsError
from supabase_jobs.session import batch_limit, script
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.deadline import DeadlineError
from supabase_jobs.session.impersonation import (
    Impersonation,
    Params,
    caller_statement,
    check_caller,
)
from supabase_jobs.session.savepoint import Savepoint
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.plans import query_plan
from supabase_jobs.verify.plans.query_plan import QueryPlan

Settings = Mapping[str, str]

_CATALOG = Path(__file__).with_name("catalog")
_EXPLAIN = "explain (verbose, costs off, format json) "
_PROOF = {"constraint_exclusion": "on"}

_POINT = Savepoint("planner")
_BEGIN = [_POINT.undo, batch_limit.CHECK]


class NoPlanError(Exception):
    """PostgreSQL cannot plan a statement; the message is the reason."""


@dataclass(frozen=True)
class Explain:
    """A request for the plan of a statement. Without an identity, the connection's own role plans
    it.

    With `params` None, a % in the statement is literal. The answer is a QueryPlan, or NoPlanError
    if PostgreSQL rejects the statement or a rule replaces it.
    """

    statement: str
    identity: Caller | None
    settings: Settings
    params: Params | None = None


@dataclass(frozen=True)
class CatalogQuery:
    """A request for the rows of `catalog/<name>.sql`, whose parameters are $1, $2, …."""

    name: str
    params: Sequence[Any]


Request = Explain | CatalogQuery
Result = TypeVar("Result")
# A check yields a request, gets the answer (or NoPlanError is raised there), and returns a result.
Check = Generator[Request, Any, Result]


class Planner:
    """Answers requests on one connection; `params` are the parameters of declared statements."""

    def __init__(self, session: Impersonation, context: Context) -> None:
        self._session = session
        self._context = context
        self.params = session.params({name: name for name in session.ids})
        self._literals = script.quoted(self.params)

    def run(self, checks: Sequence[Check[Result]], results: list[Result]) -> None:
        """Run checks side by side: one round trip answers the next request of each. Appends their
        results, in order.

        If a check fails, it appends the results of those before it, and then raises psycopg's error
        (the connection's own role lacks a privilege, a statement was cancelled) or DeadlineError.
        """
        done: dict[int, Result] = {}
        requests: dict[int, Request] = {}
        failure: Exception | None = None

        def advance(number: int, answer: Any) -> None:
            check = checks[number]
            try:
                requests[number] = (
                    check.throw(answer) if isinstance(answer, NoPlanError) else check.send(answer)
                )
            except StopIteration as stop:
                done[number] = stop.value

        for number in range(len(checks)):
            advance(number, None)
        while requests:
            current, requests = requests, {}
            answers = self._answers(list(current.values()))
            for number in current:
                try:
                    answer = next(answers)
                except (psycopg.Error, SupabaseJobsError, DeadlineError) as error:
                    failure = error  # only the checks before this one continue
                    break
                advance(number, answer)
        results += [done[number] for number in sorted(done)]
        if failure is not None:
            raise failure

    def _answers(self, requests: Sequence[Request]) -> Iterator[Any]:
        """The answer to each request, in one round trip; more if the batch takes too long."""
        while requests:
            self._context.deadline.check()
            groups = [[*_BEGIN, *self._statements(request)] for request in requests]
            begin, end = (
                [batch_limit.begin(self._context.deadline), _POINT.save],
                [*_POINT.end],
            )
            begun, *results, ended = run_groups(self._session.connection, [begin, *groups, end])
            begun.answer()
            ended.answer()
            skipped = [
                batch_limit.was_skipped(result, _BEGIN.index(batch_limit.CHECK))
                for result in results
            ]
            count = skipped.index(True) if True in skipped else len(requests)
            for request, result in zip(requests[:count], results, strict=False):
                yield self._answer(request, result)
            requests = requests[count:]

    def _statements(self, request: Request) -> list[Statement]:
        if isinstance(request, CatalogQuery):
            return [sql_file(_CATALOG / f"{request.name}.sql").statement(*request.params)]
        return [
            *self._preparation(request),
            Statement(_EXPLAIN + request.statement, request.params),
        ]

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

    def _answer(self, request: Request, result: GroupResult) -> Any:
        if isinstance(request, CatalogQuery):
            return result.answer().rows
        error = result.error
        if isinstance(error, INCONCLUSIVE_ERRORS):
            raise error
        explain = len(_BEGIN) + len(self._preparation(request))
        if error is not None:
            # missing privileges of the connection's own role are no property of the database
            own = request.identity is None and isinstance(
                error, psycopg.errors.InsufficientPrivilege
            )
            if own or len(result.answers) < explain:
                raise error
        if request.identity is not None:
            check_caller(self._session, request.identity, result.answers[explain - 1])
        if error is not None:
            return NoPlanError(sqlstate_and_message(error))
        [[parts]] = result.answer().rows
        plans: list[QueryPlan] = [
            part["Plan"] for part in parts if isinstance(part, dict) and "Plan" in part
        ]
        # EXPLAIN lists the statements of DO ALSO rules before the original one
        return (
            plans[-1]
            if plans
            else NoPlanError("a rule replaces the statement, and no table is read")
        )

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


def plan(request: Explain) -> Check[QueryPlan]:
    """The plan of a statement. Raises NoPlanError."""
    answer: QueryPlan = yield request
    return answer


def catalog(name: str, *params: Any) -> Check[Sequence[tuple[Any, ...]]]:
    """The rows of the query `catalog/<name>.sql`."""
    rows: Sequence[tuple[Any, ...]] = yield CatalogQuery(name, params)
    return rows


def proves_empty(statement: str) -> Check[bool]:
    """Whether the planner proves that a statement returns no row, whatever its tables contain.
    Raises NoPlanError.
    """
    return query_plan.is_empty((yield from plan(Explain(statement, None, _PROOF))))
