"""Objects that the project has added to managed tables: a warning becomes an info if all that is
tried on the tables shows no difference.

A query gives such an object the severity `untried` if it is in the way of each row: requests,
worker functions, hand-over, cleanup and sign-up meet it when they are tried. One that refuses URLs
which clients may send stays a warning, because the project decides which ones.
"""

from collections.abc import Collection
from dataclasses import replace

from supabase_jobs.findings import Severity
from supabase_jobs.verify.areas import ACCESS, FUNCTIONS
from supabase_jobs.verify.context import Context

UNTRIED = "untried"

_TRYING = {ACCESS, FUNCTIONS}
_SHOWN = "no request, worker function, hand-over or cleanup of its trials shows a difference"


def severity_of(id: str, severity: str, context: Context, *, is_of_added: bool = False) -> Severity:
    """The severity of a finding of the area structure. One that is `untried` is a warning at
    first, and so is a warning about columns that the project has added: rows without values in
    them are tried.
    """
    is_untried = severity == UNTRIED or (is_of_added and severity == Severity.WARNING)
    if not is_untried:
        return Severity(severity)
    context.untried.add(id)
    return Severity.WARNING


def settle(context: Context, areas: Collection[str]) -> None:
    """Make infos of the warnings about what was `untried`, if both areas that try it have run in
    full and found no error. A database in use is not tried in full.
    """
    if context.in_use or not {*areas} >= _TRYING or _TRYING & {*context.unchecked.values()}:
        return
    if any(one.area in _TRYING and one.severity is Severity.ERROR for one in context.findings):
        return
    context.findings[:] = [
        replace(one, severity=Severity.INFO, message=f"{one.message}; {_SHOWN}")
        if one.id in context.untried - context.deciding and one.severity is Severity.WARNING
        else one
        for one in context.findings
    ]
