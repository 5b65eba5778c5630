"""The assertions, as steps: each tries something that is undone, and fails in words where it came out otherwise.

What was hidden has to be there: the same statement as the owner must reach something, or else the test proves
nothing and fails.
"""

from supabase_jobs.testing.identity import Identity
from supabase_jobs.testing.outcome import Attempt, Outcome, Params, Result, failure, usually
from supabase_jobs.testing.steps import Steps, execute, outcome, tables, undone

Control = str | tuple[str, Params] | None

_NOTHING = "this proves nothing: {what}"


def expect(owner: Identity, attempt: Attempt, expected: str, *, control: Control = None) -> Steps[Outcome]:
    """The outcome of an attempt, which must be `expected`: rows, hidden, denied, violates, or an SQLSTATE."""
    __tracebackhide__ = True
    found = yield from undone(lambda: outcome(attempt))
    if found.name != expected:
        headline = f"expected {expected}, but it came to {found.name}"
        more = []
        if found.name == "hidden":
            as_owner = yield from undone(lambda: outcome(Attempt(owner, attempt.sql, attempt.params)))
            more = [("as owner", str(as_owner))]
        about = yield from tables(owner, attempt)
        raise AssertionError(failure(headline, attempt, found, usually(expected, found), about, more))
    if expected == "hidden":
        yield from _prove(owner, attempt, found, control)
    return found


def expect_rows(owner: Identity, attempt: Attempt, count: int | None) -> Steps[Result]:
    """The rows of an attempt that must be allowed, and must reach `count` rows where that is given."""
    __tracebackhide__ = True
    found = yield from expect(owner, attempt, "rows")
    if count is not None and found.result.count != count:
        about = yield from tables(owner, attempt)
        raise AssertionError(
            failure(f"expected {count} rows, but it reached {found.result.count}", attempt, found, "", about)
        )
    return found.result


def expect_untouched(owner: Identity, attempt: Attempt, target: tuple[str, Params]) -> Steps[Outcome]:
    """What `target` selects as the owner must be the same after the attempt, which may be refused in any way.

    For statements without WHERE, and functions: their count does not say whose rows they reached.
    """
    __tracebackhide__ = True
    look = Attempt(owner, *target)
    shown = [("target", " ".join(look.sql.split()))]
    before = yield from execute(look)
    if not before.rows:
        headline = _NOTHING.format(what="as the owner, the target finds no row")
        raise AssertionError(failure(headline, attempt, more=shown))

    found, after = yield from undone(lambda: _look_after(attempt, look))
    if found.name != "rows" and not found.refused:
        headline = f"expected the target to stay untouched, but the statement failed with {found.sqlstate}"
        raise AssertionError(failure(headline, attempt, found, usually("untouched", found), more=shown))
    if sorted(map(repr, before.rows)) != sorted(map(repr, after.rows)):
        about = yield from tables(owner, attempt)
        more = [*shown, *(("before", repr(r)) for r in before.rows[:3]), *(("after", repr(r)) for r in after.rows[:3])]
        more += [] if after.rows else [("after", "no row")]
        headline = "expected the target to stay untouched, but it was changed"
        raise AssertionError(failure(headline, attempt, found, usually("hidden", found), about, more))

    tried, changed = yield from undone(lambda: _look_after(Attempt(owner, attempt.sql, attempt.params), look))
    if sorted(map(repr, before.rows)) == sorted(map(repr, changed.rows)):
        headline = _NOTHING.format(what="the same statement as the owner leaves the target as it is, too")
        raise AssertionError(failure(headline, attempt, found, more=[*shown, ("as owner", str(tried))]))
    return found


def _look_after(attempt: Attempt, look: Attempt) -> Steps[tuple[Outcome, Result]]:
    found = yield from outcome(attempt)
    return found, (yield from execute(look))


def _prove(owner: Identity, attempt: Attempt, found: Outcome, control: Control) -> Steps[None]:
    __tracebackhide__ = True
    sql, params = control if isinstance(control, tuple) else (control or attempt.sql, attempt.params)
    as_owner = yield from undone(lambda: outcome(Attempt(owner, sql, params)))
    # a constraint that is hurt by writing a row shows that there is one
    if as_owner.name == "rows" or (as_owner.sqlstate or "").startswith("23"):
        return
    what = "as the owner it reaches no row either" if as_owner.name == "hidden" else "as the owner it fails"
    meaning = (
        "the row was never inserted, or the WHERE asks for another one. Insert it first, as rls.owner."
        if as_owner.name == "hidden"
        else 'Say control="select …", which shows, as the owner, that the row is there.'
    )
    more = [("as owner", str(as_owner))] + ([] if control is None else [("control", " ".join(sql.split()))])
    raise AssertionError(failure(_NOTHING.format(what=what), attempt, found, meaning, more=more))
