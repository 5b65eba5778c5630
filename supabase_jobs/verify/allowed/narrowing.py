"""Deviations that an allowed restrictive policy explains: it hides rows from a caller, or refuses
the caller's rows. A privilege that was revoked explains what is denied.
"""

from collections.abc import Collection, Sequence

from supabase_jobs.findings import Severity
from supabase_jobs.outcomes import DENIED, HIDDEN, VIOLATES
from supabase_jobs.verify.areas import STRUCTURE
from supabase_jobs.verify.context import Context, Narrowing

FIX = "Nothing to fix while this is intended: [allowed_privileges] names it."

_TABLE_COMMANDS = {
    "select": (
        "select",
        "insert",
        "update",
        "delete",
    ),  # writes with a WHERE or RETURNING clause read too
    "insert": ("insert",),
    "update": ("update", "insert"),  # insert … on conflict do update
    "delete": ("delete",),
    "all": ("select", "insert", "update", "delete"),
}
# a narrower outcome, and the declared outcomes that are at least as narrow
_NARROWER = (HIDDEN, VIOLATES, DENIED)
_NARROWEST = (HIDDEN, DENIED)


def of_cell(
    context: Context, table: str | None, role: str, command: str, expected: str, outcome: str
) -> Narrowing | None:
    """The allowed policy that explains the outcome of a cell of the access matrix.

    Any policy may explain a cell without a table: the call of a function. None if the structure
    area has reported another difference, which may be the cause instead.
    """
    is_denied = outcome == DENIED
    if outcome not in _NARROWER or (expected == DENIED if is_denied else expected in _NARROWEST):
        return None
    policies = [
        policy
        for policy in context.allowed.narrowings
        if policy.is_revoked == is_denied
        and (table is None or (policy.object == table and command in _affected(policy.command)))
    ]
    return _explaining(context, policies, (role,))


def _affected(command: str) -> Sequence[str]:
    return _TABLE_COMMANDS.get(command, (command,))


def of_calls(context: Context, roles: Collection[str], *, is_denied: bool) -> Narrowing | None:
    """The allowed policy that explains why calls of functions by these roles saw or changed less
    than declared, or were denied.
    """
    policies = [one for one in context.allowed.narrowings if one.is_revoked == is_denied]
    return _explaining(context, policies, roles)


def _explaining(
    context: Context, policies: Sequence[Narrowing], roles: Collection[str]
) -> Narrowing | None:
    affecting = [policy for policy in policies if not policy.roles.isdisjoint((*roles, "public"))]
    return affecting[0] if affecting and not _other_differences(context) else None


def _other_differences(context: Context) -> bool:
    """Whether the structure area has found something that is neither allowed nor a lint."""
    return any(
        finding.area == STRUCTURE
        and (
            finding.severity is Severity.ERROR
            or (finding.severity is Severity.WARNING and finding.id.within(STRUCTURE)[0] != "lint")
        )
        for finding in context.findings
    )
