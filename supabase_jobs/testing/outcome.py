"""What a statement came to for somebody, and the words in which a test fails. Touches no database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from supabase_jobs.testing.identity import Identity

Params = Sequence[Any] | Mapping[str, Any] | None

_SHOWN_ROWS = 3
_LONGEST_LINE = 200


@dataclass(frozen=True)
class Result:
    """The rows that a statement returned, and how many it reached; `count` is -1 for one that counts none."""

    rows: list[Any] = field(default_factory=list)
    count: int = -1


@dataclass(frozen=True)
class Outcome:
    """`name` is rows, hidden, denied, violates, or the SQLSTATE of another error.

    rows: the statement reached something (or is of a kind that counts nothing). hidden: it ran and reached nothing.
    denied: 42501, a privilege is missing or a function refused. violates: 42501 from a policy's WITH CHECK.
    """

    name: str
    result: Result = field(default_factory=Result)
    sqlstate: str | None = None
    message: str = ""

    @property
    def refused(self) -> bool:
        """Whether the database kept the caller from it, in one of the three ways."""
        return self.name in ("hidden", "denied", "violates")

    def __str__(self) -> str:
        if self.name == "rows":
            counted = "" if self.result.count < 0 else f", {_rows(self.result.count)}"
            return f"rows: the statement did its work{counted}"
        if self.name == "hidden":
            return "hidden: the statement ran and reached no row"
        reason = f"{self.sqlstate} {self.message}"
        return f"{self.name}: {reason}" if self.name in ("denied", "violates") else f"the error {reason}"


@dataclass(frozen=True)
class Table:
    """A table that a statement touches, and what keeps a role from its rows."""

    name: str
    secured: bool
    bypassed: bool
    privileges: Sequence[str]
    policies: Sequence[str]

    def lines(self, role: str) -> list[str]:
        """The facts, in words."""
        held = ", ".join(self.privileges) or "nothing"
        if not self.secured:
            state = "row level security is OFF: the grants alone decide"
        elif self.bypassed:
            state = f"row level security is on, and {role} bypasses it"
        elif not self.policies:
            state = f"row level security is on, and no policy is for {role}: it sees and writes nothing"
        else:
            state = f"row level security is on; for {role}:"
        shown = self.policies if self.secured and not self.bypassed else ()
        return [f"{self.name}: {role} may {held}; {state}", *(f"  {policy}" for policy in shown)]


_LETS_THROUGH = "row level security is off on the table, or a policy's USING lets these rows through"
_SAY = "If this is what you mean, say {}."

# (expected, came to): what that usually means
_USUALLY = {
    ("hidden", "rows"): _LETS_THROUGH + ". Several policies for one command are joined by OR.",
    ("hidden", "denied"): "a privilege is missing, so no policy was asked. " + _SAY.format("assert_denied"),
    ("hidden", "violates"): "the row was reached, and only WITH CHECK refused it. " + _SAY.format("assert_violates"),
    ("denied", "rows"): "a privilege is granted that should not be. Supabase's default privileges give the API roles"
    " everything on a new table in public: revoke it from anon and authenticated by name.",
    ("denied", "hidden"): "the privilege is there, and only policies hold the rows back. "
    + _SAY.format("assert_hidden"),
    ("denied", "violates"): "the privilege is there, and only a policy's WITH CHECK refused the row. "
    + _SAY.format("assert_violates"),
    ("violates", "rows"): "row level security is off on the table, or a policy's WITH CHECK lets this row through.",
    ("violates", "hidden"): "the statement reached no row, so WITH CHECK was never asked. "
    + _SAY.format("assert_hidden"),
    ("violates", "denied"): "a privilege is missing, so no policy was asked. " + _SAY.format("assert_denied"),
    ("rows", "hidden"): "no policy's USING lets the caller reach the row, or the row is not there.",
    ("rows", "denied"): "a GRANT is missing: on the table, on its schema, or EXECUTE on a function in a policy.",
    ("rows", "violates"): "no policy's WITH CHECK allows the new row. RETURNING needs a policy for SELECT besides.",
}
_ERRORS = {
    "42P01": "there is no such table, or it is in a schema that is not in the search_path: write schema.table.",
    "42703": "there is no such column.",
    "42883": "there is no such function for these types of arguments.",
    "42P17": "a policy on the table asks the table itself: put the question into a SECURITY DEFINER function.",
    "22P02": "a value has the wrong form; a policy that casts a claim or a header raises this for a malformed one.",
}


def usually(expected: str, outcome: Outcome) -> str:
    """What it usually means that something else than expected happened; `''` where there is no telling."""
    if (found := _USUALLY.get((expected, outcome.name))) is not None:
        return found
    state = outcome.sqlstate or ""
    if state.startswith("23"):
        return "a constraint spoke before, or after, row level security did: give the statement values that it allows."
    return _ERRORS.get(state, "")


@dataclass(frozen=True)
class Attempt:
    """A statement that somebody tries."""

    identity: Identity
    sql: str
    params: Params = None


def failure(
    headline: str,
    attempt: Attempt,
    outcome: Outcome | None = None,
    meaning: str = "",
    tables: Sequence[Table] = (),
    more: Sequence[tuple[str, str]] = (),
) -> str:
    """The text of an assertion that failed: what was expected, what happened, as whom, which SQL, what it means."""
    lines = [("happened", str(outcome))] if outcome is not None else []
    lines += _who(attempt.identity)
    lines += [("SQL", " ".join(attempt.sql.split()))]
    lines += [] if attempt.params is None else [("params", _short(attempt.params))]
    lines += [] if outcome is None else _got(outcome)
    lines += more
    lines += [("table", line) for table in tables for line in table.lines(attempt.identity.role)]
    lines += [("usually", meaning)] if meaning else []
    return _text(headline, lines)


def request_failure(
    headline: str, identity: Identity, request: str, body: object, outcome: Outcome, meaning: str = ""
) -> str:
    """The same for a request over the API; no key and no token is in it."""
    lines = [("happened", str(outcome)), *_who(identity), ("request", request)]
    lines += [("body", _short(body))] if body else []
    lines += _got(outcome)
    lines += [("usually", meaning)] if meaning else []
    return _text(headline, lines)


def _who(identity: Identity) -> list[tuple[str, str]]:
    lines = [("as", f"role {identity.role}")]
    lines += [] if identity.claims is None else [("claims", _short(dict(identity.claims)))]
    lines += [] if identity.headers is None else [("headers", _short(dict(identity.headers)))]
    return lines + ([("settings", _short(dict(identity.settings)))] if identity.settings else [])


def _got(outcome: Outcome) -> list[tuple[str, str]]:
    lines = [("got", _short(row)) for row in outcome.result.rows[:_SHOWN_ROWS]]
    rest = len(outcome.result.rows) - _SHOWN_ROWS
    return lines + ([("", f"… and {_rows(rest)} more")] if rest > 0 else [])


def _text(headline: str, lines: Sequence[tuple[str, str]]) -> str:
    return "\n".join([headline, *(f"  {name + ':' if name else '':9} {text}" for name, text in lines)])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 1] + "…"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
