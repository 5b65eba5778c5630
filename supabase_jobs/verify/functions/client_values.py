"""Requests with values that triggers and indexes of the project look at: none fails by accident.

A constraint, a type with a list of values or a length, or a trigger that raises an error decides
what clients may send. Another cast that fails, or a trigger function that ends without RETURN,
decides nothing.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from supabase_jobs.database.batch import GroupResult, Statement
from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS, LOCK_ERRORS
from supabase_jobs.findings import Case, Finding, Id, Severity
from supabase_jobs.session.caller import Caller
from supabase_jobs.session.runner import Runner, probes_of
from supabase_jobs.verify import other_values, row_by_row
from supabase_jobs.verify.context import Context
from supabase_jobs.verify.functions import AREA
from supabase_jobs.verify.functions.scenarios import ClientValues
from supabase_jobs.verify.ownership import UserObjectConflict
from supabase_jobs.verify.row_by_row import Running

_KEY = re.compile(r"'([\w-]{1,40})'")
_VALUES = ("verify", 7, True, None, {"verify": 1})
_NUMBER = "101"  # a number of three digits follows the text of a URL
# more objects, keys or addresses than this are left out
_MOST = 12
_PER_PROBE = 20
# of PL/pgSQL: raised, asserted, or a row that has to be there
_ON_PURPOSE = "P0"
# the function of the server that reads a value of an enum
_ENUM = "enum_in"
# what a constraint refuses, or a length
_BY_DECISION = (psycopg.IntegrityError, psycopg.errors.StringDataRightTruncation)


@dataclass(eq=False)
class _Request:
    """A request with one value; `error` is what it failed with."""

    object: Running
    what: str
    caller: Caller
    statements: Sequence[Statement]
    is_of_url: bool
    error: psycopg.Error | None = None

    def read(self, result: GroupResult) -> None:
        """Read the error."""
        if isinstance(result.error, LOCK_ERRORS):
            raise result.error
        self.error = result.error


def check(
    runner: Runner,
    declared: ClientValues,
    objects: Sequence[Running],
    managed: Collection[str],
    context: Context,
) -> None:
    """Send the requests for each object; report each that fails by accident, and remember those
    that decide which URLs clients may send.
    """
    looking = objects[:_MOST]
    requests = [
        request
        for one in looking
        for what, values in _values(one)
        for request in _requests(runner, declared, one, what, values)
    ]
    runner.run(probes_of(requests, _PER_PROBE))
    for one in looking:
        id = Id(AREA, one.name, "values of clients")
        case = Case(id=id, area=AREA, object=one.name, name="no value of a client makes it fail")
        context.cases.append(case)
        failed = [request for request in requests if request.object is one]
        for request in failed:
            conflict = _conflict(runner, request, managed)
            if conflict is not None:
                context.findings.append(_finding(id, request, conflict))
                break
            if request.is_of_url and _refuses(runner, request, managed):
                context.deciding.add(one.id)


def _values(one: Running) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The URLs and metadata that the text of an object names, with the parameters for each."""
    for url in list(dict.fromkeys(other_values.urls_of([one.text])))[:_MOST]:
        yield f"the address {url}{_NUMBER}", {"url": url + _NUMBER}
    keys = list(dict.fromkeys(_KEY.findall(one.text)))[:_MOST]
    for value in _VALUES if keys else ():
        sent = json.dumps(dict.fromkeys(keys, value))
        yield f"the metadata {sent}", {"metadata": sent}


def _requests(
    runner: Runner, declared: ClientValues, one: Running, what: str, values: Mapping[str, str]
) -> Iterator[_Request]:
    impersonation = runner.impersonation
    params = {**impersonation.ids, **declared.values, **values}
    for caller, texts in declared.requests:
        statements = [Statement(text, params) for text in texts]
        yield _Request(
            object=one,
            what=what,
            caller=caller.filled(impersonation.texts),
            statements=statements,
            is_of_url="url" in values,
        )


def _refuses(runner: Runner, request: _Request, managed: Collection[str]) -> bool:
    """Whether the object that a request looks at has refused it."""
    error = request.error
    if error is None or isinstance(error, INCONCLUSIVE_ERRORS):
        return False
    conflict = row_by_row.conflict_of(runner.impersonation.connection, error, managed)
    return conflict is not None and request.object.part in conflict.refusing


def _conflict(
    runner: Runner, request: _Request, managed: Collection[str]
) -> UserObjectConflict | None:
    error = request.error
    if error is None or isinstance(error, (*_BY_DECISION, *INCONCLUSIVE_ERRORS)):
        return None
    if error.diag.source_function == _ENUM:
        return None
    raised = (error.diag.context or "").partition("\n")[0].endswith("at RAISE")
    if raised or isinstance(error, psycopg.errors.InsufficientPrivilege):
        return None
    if (error.sqlstate or _ON_PURPOSE).startswith(_ON_PURPOSE):
        return None
    conflict = row_by_row.conflict_of(runner.impersonation.connection, error, managed)
    if conflict is None or request.object.part not in conflict.refusing:
        return None
    return conflict


def _finding(id: Id, request: _Request, conflict: UserObjectConflict) -> Finding:
    return Finding(
        id=id,
        area=AREA,
        severity=Severity.ERROR,
        object=request.object.name,
        message=f"a request of {request.caller.role} with {request.what} is refused by accident:"
        f" {conflict.why}",
        fix=f"Let {request.object.name} accept every value that clients may send.",
    )
