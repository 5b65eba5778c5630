"""Views that show or change rows which their tables refuse to the same caller."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from supabase_jobs.audit.callers import ANON, IMPOSTOR, MEMBER, NEWCOMER, OWNER
from supabase_jobs.audit.catalog import USERS
from supabase_jobs.audit.facts.facts import Facts
from supabase_jobs.audit.facts.views import ViewTried
from supabase_jobs.audit.leaks.answers import question
from supabase_jobs.audit.leaks.leak import AnyLeak, ExplainedLeak, Kind, Question, who
from supabase_jobs.audit.leaks.views import explanation
from supabase_jobs.audit.limits import LIMITS, some
from supabase_jobs.audit.probes.attempt import DELETE, GROUP, OWN, SELECT, UPDATE
from supabase_jobs.findings import Explanation, Severity

KIND = Kind(
    code="view",
    order=390,
    severities=(Severity.ERROR, Severity.WARNING, Severity.QUESTION),
    sentence="A view shows or changes rows that its tables refuse.",
)
# columns of auth.users that users may change, and those that the server keeps
_CHOSEN = ("id", "raw_user_meta_data", "user_metadata", "created_at", "updated_at")
_DOES = {SELECT: "read", UPDATE: "change", DELETE: "delete"}
_REVOKE_ALL = sql.SQL("revoke all on {} from public, anon, authenticated;")
_REVOKE_WRITES = sql.SQL("revoke insert, update, delete on {} from public, anon, authenticated;")


def find(facts: Facts) -> Iterator[AnyLeak]:
    """One leak for each view and action, by the most general caller; a question about views by
    which members read.
    """
    pages = {one.object for one in facts.views if _is_of_members(facts, one)}
    for tried in sorted(facts.views, key=lambda t: t.actor.rank):
        tables = tables_of(tried)
        if tables and tried.is_own:
            yield _of_own_user(tried)
        elif tables and tried.in_state:
            yield _of_state(tried, tables)
        elif tables and _is_for_members(facts, tried, tables):
            yield question(KIND, tried, "read rows of others by")
        elif tables and _is_read_by_users(facts, tried):
            yield question(KIND, tried, "read rows that every signed-in user reads by")
        elif tables and _is_page(facts, tried, tables):
            topic = f"{tried.object} ({some([*tried.view.columns])})"
            effect = "read a part of rows that tables refuse, such as for a public page, by"
            if tried.object not in pages:
                yield question(KIND, tried, effect, topic, "pages")
            pages.add(tried.object)
        elif tables and _is_granted(tried):
            topic = f"{tried.object} ({some(_written(tried))})"
            yield question(KIND, tried, "change columns of their own rows by", topic, "own rows")
        elif tables and not (tried.action == SELECT and tried.object in pages):
            yield _of_others(facts, tried, tables)


def _is_for_members(facts: Facts, tried: ViewTried, tables: Sequence[str]) -> bool:
    """Whether a view is how members read: it shows no rows of the tables to others, and nobody of
    the group reads them directly.
    """
    if tried.actor.kind != MEMBER or tried.action != SELECT or USERS in tables:
        return False
    others = [one for one in facts.views if one.object == tried.object and one.action == SELECT]
    outside = [one for one in others if one.actor.is_outsider and one.actor.kind != IMPOSTOR]
    if any(one.said.shown for one in outside):
        return False
    direct = [one for label in tables for one in facts.of_table(label)]
    return not any(t.reached and t.action == SELECT and t.whose in (OWN, GROUP) for t in direct)


def _is_of_members(facts: Facts, tried: ViewTried) -> bool:
    """Whether members read by a view, and a sign-up that makes anyone a member shows it to others:
    the sign-up is the leak.
    """
    same = [one for one in facts.views if one.object == tried.object]
    return tried.actor.kind == IMPOSTOR and any(
        _is_for_members(facts, one, tables_of(one)) for one in same
    )


def _is_granted(tried: ViewTried) -> bool:
    """Whether a view is how the owner changes columns of their rows that a GRANT names."""
    is_of_own = tried.actor.kind == OWNER and tried.action == UPDATE
    return is_of_own and f"{tried.actor.role} UPDATE" not in tried.view.granted


def _written(tried: ViewTried) -> list[str]:
    """The columns of a view that the caller's role may change."""
    role = tried.actor.role
    return [name for name in tried.view.columns if tried.view.may(role, "UPDATE", name)]


def _is_page(facts: Facts, tried: ViewTried, tables: Sequence[str]) -> bool:
    """Whether a view may be a public page: it shows everybody some columns, neither addresses nor
    whom or what a row belongs to, of rows that are selected as public, or of each user's profile.
    """
    if tried.actor.kind not in (ANON, NEWCOMER) or tried.view.is_materialized:
        return False
    if tried.view.links or _severity(facts, tried, tables) != Severity.WARNING:
        return False
    if any(facts.reads_others_in(label, tried.actor) for label in tables):
        return False  # it shows columns that a grant leaves out, or rows that policies leave out
    known = [facts.tables[label] for label in tables if label in facts.tables]
    are_profiles = len(known) == len(tables) and all(table.rows.per_user for table in known)
    return tried.action == SELECT and (tried.view.selects or are_profiles)


def _is_read_by_users(facts: Facts, tried: ViewTried) -> bool:
    """Whether guests read by a view what every signed-in user may read in the tables anyway."""
    if tried.actor.kind != ANON or tried.action != SELECT:
        return False
    same = [one for one in facts.views if one.object == tried.object and one.action == SELECT]
    users = [one for one in same if one.actor.kind == NEWCOMER]
    return bool(users) and not any(tables_of(one) for one in users)


def tables_of(tried: ViewTried) -> Sequence[str]:
    """The tables of the rows that a view shows, or of those that it changes."""
    return tried.said.shown if tried.action == SELECT else tried.changed


def _of_others(facts: Facts, tried: ViewTried, tables: Sequence[str]) -> ExplainedLeak:
    view, actor = tried.view, tried.actor
    whose = "rows of their own" if actor.kind == OWNER else "rows of others"
    does = f"{_DOES[tried.action]} {whose}"
    if tried.action == UPDATE and actor.kind == OWNER:
        does = f"change {some(_written(tried), LIMITS.guarding)} of {whose}"
    elif tried.action == SELECT and view.links:
        does += f", with {some(view.links)},"
    message = f"{who(actor)} {does} by the view, which {', '.join(tables)} refuses"
    explained = explanation(view, actor)
    if USERS in tables and not view.is_materialized:
        cause = f"the view reads {USERS} with the privileges of its owner"
        revoke = _REVOKE_ALL if tried.action == SELECT else _REVOKE_WRITES
        explained = Explanation(cause=cause, fix=revoke.format(view.identifier).as_string(None))
    severity = _severity(facts, tried, tables)
    known = [facts.tables[label] for label in tables if label in facts.tables]
    is_of_nobody = not any(table.rows.owned for table in known)
    of_owner = actor.kind == OWNER or (is_of_nobody and USERS not in tables)
    return _leak(tried, severity, message, explained, of_owner=of_owner)


def _of_state(tried: ViewTried, tables: Sequence[str]) -> Question:
    """A row in a state in which its table refuses it to the caller."""
    actor, state = tried.actor, f" ({tried.state})" if tried.state else ""
    whose = "rows of their own" if actor.kind == OWNER else "rows of others"
    [table, *_] = tables
    message = (
        f"{who(actor)} read {whose} in {table}{state} by {{}}, which the table refuses to them in"
        " this state only. Is that intended?"
    )
    return Question(
        kind=KIND,
        severity=Severity.QUESTION,
        object=tried.view.label,
        message=message,
        decides=f"{table}{state}:{actor.kind}",
        topics=(tried.view.label,),
    )


def _severity(facts: Facts, tried: ViewTried, tables: Sequence[str]) -> Severity:
    if tried.action != SELECT:  # a view may be the way to change rows of one's own
        return Severity.WARNING if tried.actor.kind == OWNER else Severity.ERROR
    if USERS in tables:
        # a group may show its members the addresses of the others
        return Severity.WARNING if tried.actor.kind == MEMBER else Severity.ERROR
    columns = tried.view.columns.keys()
    is_whole = any(facts.tables[label].columns.keys() <= columns for label in tables)
    if is_whole or any(facts.words.is_sensitive(name) for name in columns):
        return Severity.ERROR
    return Severity.WARNING


def _of_own_user(tried: ViewTried) -> ExplainedLeak:
    """Writes to the caller's own row of auth.users: an e-mail address without a confirmation,
    roles, the end of a ban.

    The API of Auth lets users change user_metadata anyway, and a project may let them delete their
    account.
    """
    view, actor = tried.view, tried.actor
    changed = [name for name in view.columns if view.may(actor.role, "UPDATE", name)]
    is_chosen = all(name in _CHOSEN for name in changed)
    severity = Severity.WARNING if is_chosen or tried.action == DELETE else Severity.ERROR
    message = f"{who(actor)} {_DOES[tried.action]} their own row of {USERS} by the view"
    cause = f"the view changes {USERS} with the privileges of its owner"
    fix = _REVOKE_WRITES.format(view.identifier).as_string(None)
    explained = Explanation(cause=cause, fix=fix)
    return _leak(tried, severity, message, explained, of_owner=actor.kind == OWNER)


def _leak(
    tried: ViewTried,
    severity: Severity,
    message: str,
    explained: Explanation,
    *,
    of_owner: bool,
) -> ExplainedLeak:
    return ExplainedLeak(
        kind=KIND,
        severity=severity,
        object=tried.view.label,
        message=message,
        name=f"{tried.view.label}:{tried.action}",
        explanation=explained,
        of_owner=of_owner,
        is_write=tried.action != SELECT,
        action=tried.action,
    )
