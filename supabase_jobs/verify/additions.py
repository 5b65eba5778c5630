"""Objects that the project has added to managed tables: a warning becomes an info if all that is
tried on the tables shows no difference.

A query gives such an object the severity `untried` only if what is tried is all that it can do: it
does the same for each row, or decides by what has few values.
"""

from collections.abc import Collection
from dataclasses import replace

from supabase_jobs.findings import Severity
from supabase_jobs.verify.areas import ACCESS, FUNCTIONS
from supabase_jobs.verify.context import Context

UNTRIED = "untried"

_TRYING = {ACCESS, FUNCTIONS}
_SHOWN = "no request, worker function, hand-over or cleanup of its trials shows a difference"


def severity_of(id: str, severity: str, context: Context) -> Severity:
    """The severity of a finding of the area structure. One that is `untried` is a warning at
    first.
    """
    if severity != UNTRIED:
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
        if one.id in context.untried and one.severity is Severity.WARNING
        else one
        for one in context.findings
    ]
