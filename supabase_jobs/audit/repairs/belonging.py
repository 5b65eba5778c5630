"""The cells that a leak is about, so that its repair may end them."""

from supabase_jobs.audit.callers import CLAIM, FORGER, OWNER, SERVICE
from supabase_jobs.audit.leaks import (
    captured_name,
    escalation,
    hidden_parent,
    unreadable_parent,
    untested_column,
    upload,
)
from supabase_jobs.audit.leaks import leak as kinds_of_leaks
from supabase_jobs.audit.leaks.leak import (
    AnyLeak,
    ExplainedLeak,
    ShownLeak,
)
from supabase_jobs.audit.probes.attempt import (
    DELETE,
    FORGE,
    INSERT,
    JOIN,
    NONE,
    OPEN,
    OWN,
    SELECT,
    UPDATE,
    Attempt,
)
from supabase_jobs.audit.probes.bypass import Bypass


def belongs(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a cell is one that a leak is about, so that its repair may end it."""
    if isinstance(one, Bypass):
        is_own = not one.caller.is_outsider and one.outcome == "rows" and not shows_hidden(one)
        if not isinstance(leak, ExplainedLeak) or leak.object != one.label or is_own:
            return False
        if is_only_read(one, leak):
            return False
        # a view may be the way to write rows of one's own
        is_of_owner = one.action in (UPDATE, DELETE) and one.caller.kind == OWNER
        return leak.of_owner or not is_of_owner
    if leak.kind is captured_name.KIND:  # what the condition was to limit
        return leak.object == one.label and is_of_outsider(one)
    if not isinstance(leak, ShownLeak):
        return False
    tried, caller = leak.tried, one.caller
    if tried.table.label != one.relation.label or caller.kind == SERVICE:
        return False
    if one.relation.is_storage and tried.object != one.label:
        return False
    if leak.kind.repair is kinds_of_leaks.Repair.ENABLE_ROW_SECURITY:
        return caller.is_outsider and one.whose != OWN
    if caller.kind == FORGER == tried.actor.kind and caller.role != "anon":
        return True
    if tried.action != one.action:
        return False
    if leak.kind is hidden_parent.KIND:
        return one.whose != OWN and one.is_state
    if leak.kind.repair is kinds_of_leaks.Repair.OTHER_COMMAND:
        return one.is_state  # another state that refuses the other change
    if leak.kind.of_column and tried.column:
        return one.whose == tried.whose and (one.column == tried.column or _chooses(one, leak))
    if leak.kind is untested_column.KIND and one.action == INSERT:
        return one.is_state or one.column in leak.columns
    if leak.kind is untested_column.KIND and one.action == UPDATE:
        return one.column in leak.columns and one.whose == tried.whose
    if one.action == INSERT and (one.whose == OWN or one.name in (JOIN, OPEN)):
        return _may_not_insert(one, leak)
    if tried.whose == NONE == one.whose:  # it belongs to nobody
        return caller.kind != CLAIM and tried.name == one.name
    if one.action == INSERT and _family(tried.name) != _family(one.name):
        return False
    is_like = caller.is_outsider or caller.label == tried.actor.label
    return is_like and (one.whose != OWN or bool(one.name))


def is_about_column(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a leak is about the column of an attempt."""
    if not isinstance(one, Attempt) or not isinstance(leak, ShownLeak):
        return False
    if not leak.kind.of_column or not leak.tried.column:
        return False
    return leak.tried.column == one.column or _chooses(one, leak)


def _chooses(one: Attempt, leak: ShownLeak) -> bool:
    """Whether a new row has the value that a leak is about in its column."""
    chosen = leak.tried.written.chosen
    return chosen is not None and one.written.get(leak.tried.column) == chosen


def is_of_parts(leak: AnyLeak) -> bool:
    """Whether a leak is about parts of rows that are hidden from their caller."""
    return leak.kind in (hidden_parent.KIND, unreadable_parent.KIND)


def is_alike(one: Attempt, leak: AnyLeak) -> bool:
    """Whether a leak is about the same action on the same table."""
    if not isinstance(leak, ShownLeak):
        return False
    return (leak.tried.table.label, leak.tried.action) == (one.relation.label, one.action)


def is_of_outsider(one: Attempt | Bypass) -> bool:
    """Whether an outsider reaches a row that is not theirs, or a view or function."""
    return one.caller.is_outsider and one.whose != OWN


def is_only_read(one: Attempt | Bypass, leak: AnyLeak) -> bool:
    """Whether a cell is the reading by a view, and a leak is about the writing by it."""
    is_write = isinstance(leak, ExplainedLeak) and leak.is_write and leak.object == one.label
    return is_write and one.action == SELECT


def _may_not_insert(one: Attempt, leak: ShownLeak) -> bool:
    """Whether a leak is about rows of one's own: those that open something, and files that are in
    no folder of one's own.
    """
    if leak.kind is escalation.KIND:
        return True
    if one.whose != OWN and leak.tried.name == one.name:
        return one.caller.is_outsider
    user, name = one.caller.user, one.row.values.get("name") or ""
    return leak.kind is upload.KIND and (user is None or user.id not in name)


def _family(name: str) -> str:
    """The name of an insert; that of a row of another is the same with and without own parents."""
    return "" if name == FORGE else name


def shows_hidden(bypass: Bypass) -> bool:
    """Whether a view or function showed rows of others, or changed or opened something."""
    return bool(bypass.said.seen or bypass.effects.changed or bypass.effects.opened)
