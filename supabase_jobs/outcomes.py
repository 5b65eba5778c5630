"""The outcomes of a statement run as a caller, as declarations, reports and the pytest plugin name
them.
"""

ROWS, HIDDEN, DENIED, VIOLATES = "rows", "hidden", "denied", "violates"
# outcome → meaning; any other outcome is an SQLSTATE
OUTCOMES = {
    ROWS: "reached its target",
    HIDDEN: "row level security shows nothing",
    DENIED: "no grant, or refused",
    VIOLATES: "a policy's check refuses the new row",
}
SQLSTATE_MEANING = "the SQLSTATE of any other error"
# the outcomes that SQLSTATE 42501 stands for
REFUSALS = (DENIED, VIOLATES)
# the outcomes of a statement that shows and changes nothing, by privileges or policies
CLOSED = (HIDDEN, *REFUSALS)
_INTEGRITY_CONSTRAINT_VIOLATION = "23"  # the class of its SQLSTATEs


def is_sqlstate(text: str) -> bool:
    """Whether a text has the form of an SQLSTATE."""
    return len(text) == 5 and text.isalnum() and text == text.upper()


def is_constraint_violation(outcome: str) -> bool:
    """Whether a constraint refused the row: one that exists, or that policies had accepted."""
    return outcome.startswith(_INTEGRITY_CONSTRAINT_VIOLATION)
