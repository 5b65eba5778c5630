"""The outcomes of a statement run as a caller, as declarations, reports and the pytest plugin name
them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

# outcome → meaning; any other outcome is an SQLSTATE
OUTCOMES = {
    "rows": "reached its target",
    "hidden": "row level security shows nothing",
    "denied": "no grant, or refused",
    "violates": "a policy's check refuses the new row",
}
SQLSTATE_MEANING = "the SQLSTATE of any other error"
# the outcomes that SQLSTATE 42501 stands for
REFUSALS = ("denied", "violates")

_INSUFFICIENT_PRIVILEGE = "42501"
# 42501 has two meanings. The name of the C function that raised it tells them apart in every
# language of the server.
_RAISED_BY_POLICY = "ExecWithCheckOptions"


def refusal(error: "psycopg.Error") -> str:
    """The outcome of a statement that failed: `denied`, `violates` (a policy's WITH CHECK), or its
    SQLSTATE.
    """
    if error.sqlstate == _INSUFFICIENT_PRIVILEGE:
        return "violates" if error.diag.source_function == _RAISED_BY_POLICY else "denied"
    return error.sqlstate or "error"


def is_sqlstate(text: str) -> bool:
    """Whether a text has the form of an SQLSTATE."""
    return len(text) == 5 and text.isalnum() and text == text.upper()
