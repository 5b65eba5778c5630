"""The repairs that come into question: the demands that may close a leak, in the order of trial."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from psycopg import sql

from supabase_jobs.audit.callers import FORGER, FORMER, IMPOSTOR, INVITED
from supabase_jobs.audit.catalog import Function, Policy, Relation
from supabase_jobs.audit.leaks import give_away
from supabase_jobs.audit.leaks.leak import Repair
from supabase_jobs.audit.policies import parse_trees
from supabase_jobs.audit.probes.attempt import INSERT, JOIN, SELECT, UPDATE
from supabase_jobs.audit.repairs import captured, writes
from supabase_jobs.audit.repairs import ended as ended_rows
from supabase_jobs.audit.repairs.causes import Caused, trusting
from supabase_jobs.audit.repairs.changes import Change
from supabase_jobs.audit.repairs.columns import (
    asked_of_new,
    is_set_elsewhere,
    keeping,
    question_of_columns,
    with_readable_new_parent,
)
from supabase_jobs.audit.repairs.conditions import (
    as_changed,
    as_old_rows,
    as_other_commands,
    fewer_alternatives,
    names_column,
    of_files,
    of_others,
    outside_of_state,
    with_other_labels,
)
from supabase_jobs.audit.repairs.demand import Definitions, Demand, Edit, Script, edited
from supabase_jobs.audit.repairs.helpers import missing
from supabase_jobs.audit.repairs.owners import (
    named_persons,
    owner_condition,
    owner_conditions,
    through_queried,
    undecided_owners,
)
from supabase_jobs.audit.repairs.statements import limits_rows
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Ended
from supabase_jobs.findings import as_comment

# a policy whose name says that it is for the backend, which no policy restricts
_OF_SERVICE = re.compile(r"service[ _-]?role", re.IGNORECASE)


_IS_SERVICE = "(select auth.role()) = 'service_role'"


_ASK_WHOSE = (
    "Nothing says that the rows belong to the person in {} alone. If no other user may do this,"
    " run:"
)
_ASK_FOR_CLAIM = (
    "Users change their own user_metadata. Once app_metadata has this claim for those who should"
    " have it, run:"
)


def restriction(
    plan: Plan,
    relation: Relation,
    policies: Sequence[Policy],
    action: str,
    role: str,
    *,
    may_drop: bool = False,
) -> Demand:
    """Restrict policies to the tenant or owner of a row.

    With `may_drop`, remove those beside which others remain. Remove a policy if no column names an
    owner.
    """
    if not policies:
        revoke = sql.SQL("revoke {} on {} from {};")
        text = revoke.format(sql.SQL(action), relation.identifier, sql.Identifier(role))
        return Demand(script=Script(text=text.as_string(None)))
    edits = []
    for policy in policies:
        others = [p for p in relation.policies if p not in policies and _serves(p, policy, role)]
        edit = _restricting(plan, relation, policy, action, may_drop=may_drop and bool(others))
        edits.append((relation, policy, edit))
    return Demand(edits=edits)


def _serves(other: Policy, policy: Policy, role: str) -> bool:
    """Whether another policy lets rows pass where this one does."""
    return other.permissive and other.applies_to(role) and other.command in ("*", policy.command)


def _restricting(
    plan: Plan, relation: Relation, policy: Policy, action: str, *, may_drop: bool
) -> Edit:
    """The edit that restricts a policy; with `may_drop`, others serve the same callers."""
    if relation.is_storage and action == INSERT:
        return Edit.OWN_FOLDER  # Storage makes the caller the owner, wherever the file is
    of_new_rows = action == INSERT and policy.checked is not None
    if of_new_rows and limits_rows(policy):
        return Edit.OWNER_OF_NEW_ROWS
    if owner_condition(plan, relation) is None or (may_drop and policy.command != "*"):
        return Edit.DROP
    return Edit.OWNER_OF_NEW_ROWS if of_new_rows else Edit.OWNER


def refusal(relation: Relation, policies: Sequence[Policy], action: str) -> Demand:
    """Refuse new rows, or a DELETE, that open something to their caller, by policies that have no
    other use.
    """
    return Demand(edits=[(relation, policy, _refusing(policy, action)) for policy in policies])


def _refusing(policy: Policy, action: str) -> Edit:
    if action != INSERT:
        return Edit.DROP
    if policy.checked and limits_rows(policy):
        return Edit.OWNER_OF_NEW_ROWS
    return Edit.READABLE_PARENT if policy.command == "*" else Edit.DROP


def without_ended(
    plan: Plan, relation: Relation, policies: Sequence[Policy], mark: Ended, role: str
) -> Demand:
    """Leave out the rows that have ended where policies, or functions that they call, read all of
    them.
    """
    marks, functions = [], []
    given = [(relation, policy) for policy in policies]
    for table, policy in ended_rows.policies(plan.catalog, given, role):
        texts = [text for text in (policy.visible, policy.checked) if text]
        if any(ended_rows.with_condition(text, [mark]) for text in texts):
            marks.append((table, policy, mark))
        functions += [
            (function, mark) for function in ended_rows.functions(plan, table, policy, mark)
        ]
    if marks or functions:
        return Demand(marks=marks, definitions=Definitions(lacking=functions))
    names = ", ".join(f'policy "{policy.name}"' for policy in policies) or relation.label
    return Demand(script=Script(text=ended_rows.missing_condition(names, mark)))


def _other_marks(plan: Plan, mark: Ended) -> list[Ended]:
    """How a membership says otherwise that it has ended or has not begun."""
    membership = plan.memberships.get(mark.relation.oid)
    if membership is None:
        return []
    known = [Ended(mark.relation, *one) for one in (membership.former, membership.invited) if one]
    return [other for other in known if other != mark]


def alternatives(plan: Plan, one: Caused) -> Iterator[Demand]:
    """The changes that may close a leak, in the order in which they are tried."""
    relation, action = one.relation, one.attempt.action
    role, policies = one.attempt.caller.role, one.policies
    mark, repair = one.attempt.caller.ended, one.leak.kind.repair
    for change in (one.change, one.guard):
        if change is not None:
            yield from _undoing(plan, change, role)
    if one.change is not None and one.change.advice:
        return
    if repair is Repair.ENABLE_ROW_SECURITY:
        yield from _enabling(plan, relation)
        return
    if repair is Repair.SOME_COLUMNS and action == INSERT:
        yield from as_changed(relation, policies, role, one.leak.columns)
        return
    if repair is Repair.SOME_COLUMNS:
        if one.leak.columns and is_set_elsewhere(plan, one):
            yield from keeping(plan, relation, role, action, frozenset(one.leak.columns))
        yield Demand(script=Script(text=question_of_columns(relation, role)))
        return
    if repair is Repair.OLD_ROW:
        for policy in policies:
            if policy.checked and policy.command == "w":
                condition = f"({policy.checked})"
                yield replace(edited(relation, [policy], Edit.OWNER), owner=condition)
        return
    if repair is Repair.OTHER_COMMAND:
        yield from as_other_commands(relation, policies, role)
        return
    is_inactive = one.attempt.caller.kind in (FORMER, INVITED)
    if is_inactive and mark is not None and repair is not Repair.REFUSE:
        ended = without_ended(plan, relation, policies, mark, role)
        yield ended
        for other in _other_marks(plan, mark):  # both may be let in by one helper
            also = without_ended(plan, relation, policies, other, role)
            if not (ended.script.text or also.script.text):
                functions = [*ended.definitions.lacking, *also.definitions.lacking]
                marks, definitions = [*ended.marks, *also.marks], Definitions(lacking=functions)
                yield replace(ended, marks=marks, definitions=definitions)
    if one.attempt.caller.kind in (FORGER, IMPOSTOR):
        demand = _of_app_metadata(plan, one)
        if demand is not None:
            yield demand
            return  # any other condition leaves the claim to the user
    if policies and all(_OF_SERVICE.search(policy.name) for policy in policies):
        yield replace(edited(relation, policies, Edit.DROP), is_of_service=True)
    for lacking in missing(plan, relation, policies):
        yield Demand(definitions=Definitions(lacking=[lacking]))
    for policy in policies:
        if captured.names(plan.catalog, relation, policy):
            yield edited(relation, [policy], Edit.QUALIFIED)
    state = one.attempt.row.part
    if action != INSERT and state is not None and one.attempt.is_state:
        for condition in outside_of_state(relation, policies, state):
            yield replace(edited(relation, policies, Edit.OWNER), owner=condition)
    is_extra = one.droppable and _remain(relation, policies, role)
    asked = any(_asks_elsewhere(policy) for policy in policies)
    if policies and (one.is_deviation or (is_extra and not asked)):
        yield edited(relation, policies, Edit.DROP)
    # each person whom the row names changes its other columns, too
    if one.leak.kind is not give_away.KIND:
        yield from fewer_alternatives(relation, policies)
    # without a column that each new row must have, or by which policies accept it, nobody adds rows
    is_of_column = one.is_of_column
    if is_of_column and action == INSERT:
        accepting = [p for p in relation.policies if p.permissive and p.governs(INSERT)]
        is_needed = any(names_column(p.checked or p.visible or "", one.column) for p in accepting)
        is_of_column = not (is_needed or relation.by_name[one.column].is_demanded)
    if is_of_column:
        columns = frozenset({one.column})
        yield from keeping(plan, relation, role, action, columns)
    if repair is Repair.REFUSE and policies:
        yield from with_other_labels(plan, relation, policies, one.attempt)
        yield refusal(relation, policies, action)
    if (repair is Repair.READABLE_PARENT or one.attempt.name == JOIN) and policies:
        yield from as_old_rows(relation, policies, one.attempt)
        is_moved = action == UPDATE and bool(one.attempt.column)
        # the policy for new rows may ask more of the row above
        if not (is_moved and asked_of_new(relation, role, one.attempt.column)):
            yield edited(relation, policies, Edit.READABLE_PARENT)
        if is_moved:
            yield from with_readable_new_parent(plan, relation, role, one.attempt.column)
    if relation.is_storage and action == INSERT and (paths := of_files(relation, policies, role)):
        for condition in paths:
            limited = edited(relation, policies, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=condition)
        return  # paths of another form than that of folders of users
    demand = restriction(plan, relation, policies, action, role)
    if not demand.edits:
        yield demand
        return
    conditions = through_queried(relation, plan, policies)
    conditions += [c for c in owner_conditions(plan, relation) if c not in conditions]
    conditions += of_others(plan, relation, policies, conditions)
    undecided = undecided_owners(plan, relation)
    if action == INSERT or one.is_deviation:  # new rows in one's own name, and what is only new
        undecided = {}
    for condition in conditions:
        asks = _ASK_WHOSE.format(undecided[condition]) if condition in undecided else ""
        yield replace(demand, owner=condition, asks=asks)
    if not conditions:
        yield demand
    if action in (INSERT, UPDATE):
        of_new_rows = [p for p in policies if p.command == "*" or action == UPDATE]
        for condition in conditions if of_new_rows else ():
            limited = edited(relation, of_new_rows, Edit.OWNER_OF_NEW_ROWS)
            yield replace(limited, owner=condition)
    # one for Storage would limit the files of all buckets
    for condition in () if relation.is_storage else conditions:
        yield _restrictive(relation, one, condition)
    if one.is_deviation or not asked:
        yield edited(relation, policies, Edit.DROP)


def _of_app_metadata(plan: Plan, one: Caused) -> Demand | None:
    """The policies and the functions that they call with app_metadata instead of user_metadata;
    None if they read none.
    """
    found = trusting(plan, one.relation, one.policies)
    if not found:
        return None
    policies = [policy for policy in found if isinstance(policy, Policy)]
    return replace(
        edited(one.relation, policies, Edit.APP_METADATA),
        definitions=Definitions(
            trusting=[function for function in found if isinstance(function, Function)]
        ),
        asks=_ASK_FOR_CLAIM,
    )


def _undoing(plan: Plan, change: Change, role: str) -> Iterator[Demand]:
    """The statements without a change; a policy is dropped, or limited to owners."""
    if change.advice:
        yield Demand(script=Script(text=as_comment(change.advice)))
        return
    if change.dropped is None:
        script = Script(
            text=change.text,
            tables=change.tables,
            functions=change.functions,
            is_trigger=change.is_trigger,
        )
        yield Demand(script=script)
        return
    relation, policy = change.dropped
    yield edited(relation, [policy], Edit.DROP)
    demand = restriction(plan, relation, [policy], SELECT, role)
    for condition in owner_conditions(plan, relation) if demand.edits else ():
        yield replace(demand, owner=condition)


def _asks_elsewhere(policy: Policy) -> bool:
    """Whether a policy asks a function or another table who its caller is. Whom it is for may not
    be among the callers of the audit, so no trial shows what is lost with it.
    """
    trees = [parse_trees.expression_tree(text) for text in (policy.visible, policy.checked) if text]
    called = {name[0] for name in parse_trees.calls(trees) if len(name) > 1}
    return bool(parse_trees.tables(trees) or called - {"auth", "storage", "pg_catalog"})


def _remain(relation: Relation, policies: Sequence[Policy], role: str) -> bool:
    """Whether other policies serve a role where these do."""
    others = [policy for policy in relation.policies if policy not in policies]
    return all(_is_served(others, policy, role) for policy in policies)


def _is_served(others: Sequence[Policy], policy: Policy, role: str) -> bool:
    return any(_serves(other, policy, role) for other in others)


def limiting(plan: Plan, function: Function) -> Iterator[Demand]:
    """A function that changes only rows of the caller, by each condition of their owner, or by
    which policies let rows pass; all rows for the service, if it may call the function.
    """
    if writes.goes_on(function):
        return
    for relation in writes.changed_tables(plan.catalog, function):
        conditions = owner_conditions(plan, relation)
        conditions += of_others(plan, relation, (), conditions, is_write=True)
        known = named_persons(plan, relation)
        persons = [name for name in known if re.search(rf"\b{name}\b", function.body)]
        for condition in conditions:
            # it is for each of the persons that its body names
            if len(persons) > 1 and not all(names_column(condition, name) for name in persons):
                continue
            if "service_role" in function.callers:
                condition = f"({condition} or {_IS_SERVICE})"
            yield Demand(definitions=Definitions(limited=[(function, relation, condition)]))


def _restrictive(relation: Relation, one: Caused, condition: str) -> Demand:
    """A further policy that limits one action to some rows, and leaves the others as they are."""
    action = one.attempt.action
    name = f"{relation.name}: {action} of own rows only"
    clause = "with check" if action == INSERT else "using"
    text = sql.SQL("create policy {} on {} as restrictive for {} to {} {} ({});").format(
        sql.Identifier(name),
        relation.identifier,
        sql.SQL(action),
        sql.Identifier(one.attempt.caller.role),
        sql.SQL(clause),
        sql.SQL(condition),
    )
    script = Script(
        text=text.as_string(None),
        tables=frozenset({relation.oid}),
        actions=frozenset({(relation.oid, action)}),
    )
    return Demand(script=script)


def _enabling(plan: Plan, relation: Relation) -> Iterator[Demand]:
    """Row level security, and if there is no policy yet, one by which owners keep their rows."""
    enable = sql.SQL("alter table {} enable row level security;").format(relation.identifier)
    touched = frozenset({relation.oid})
    yield Demand(script=Script(text=enable.as_string(None), tables=touched))
    if relation.policies:
        return
    for condition in owner_conditions(plan, relation):
        policy = sql.SQL(
            "create policy {} on {} to authenticated using ({}) with check ({});"
        ).format(
            sql.Identifier(f"{relation.name}: own rows"),
            relation.identifier,
            sql.SQL(condition),
            sql.SQL(condition),
        )
        text = f"{enable.as_string(None)}\n{policy.as_string(None)}"
        yield Demand(script=Script(text=text, tables=touched), is_new=True)
