"""The difference in access between the audits of two databases: only what changed, wider access
first.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from supabase_jobs.audit.baseline import OUTSIDERS, Baseline, accepted_actions, opens, wider
from supabase_jobs.audit.leaks.kinds import FROM_CATALOGS
from supabase_jobs.findings import (
    AccessCaller,
    AccessChange,
    AccessDiff,
    AccessObject,
    Audit,
    AuditedRelation,
    AuditFinding,
    Cell,
    Clause,
    Explanation,
    Id,
    NotCompared,
    Permission,
    Permissions,
    Severity,
)
from supabase_jobs.findings.permission import beyond, grouped, printed

WIDER, NARROWER, NEW, REMOVED, LEAK, CLOSED = (
    "wider",
    "narrower",
    "new",
    "removed",
    "leak",
    "closed",
)
_ORDER = (WIDER, NEW, LEAK, NARROWER, REMOVED, CLOSED)
_ROWS = "rows"
_VERBS = {
    "insert": "insert into",
    "delete": "delete from",
    "join": "add its own rows to another's group in",
    "forge": "insert rows in another user's name into",
}
_SHORT = {"join": "add its own rows to another's group", "forge": "insert in another user's name"}
_GENERAL = ("anon", "newcomer", "stranger")
_NO_CALLER = "this kind of caller exists on one side only, or has no row on the other"
_NO_ROW = "no row could be generated"
_UNEXPLAINED = Explanation(cause="", fix="")
_CALL = Permission("call")
_INCONCLUSIVE = "it could not be tested, or the attempt ended with a lock or a timeout"


def compare(
    before: Audit,
    after: Audit,
    names: tuple[str, str],
    accepted: Baseline | None = None,
    *,
    strict: bool = False,
) -> AccessDiff:
    """Compare the audits of the same callers and rows (see `Common`); `names` are those of the two
    states.

    Wider access and a new object or column that is open to outsiders are errors. Narrower access, a
    removed object, and a new column that others may update are warnings; with `strict`, errors.
    What the accepted access says is an info.
    """
    found = _Comparison(before, after, accepted or Baseline(), strict=strict)
    found.run()
    changes = sorted(found.changes, key=_position)
    milliseconds = before.milliseconds + after.milliseconds
    return AccessDiff(
        before=names[0],
        after=names[1],
        changes=tuple(changes),
        not_compared=tuple(found.not_compared),
        audit=after,
        milliseconds=milliseconds,
    )


class _Comparison:
    def __init__(self, before: Audit, after: Audit, accepted: Baseline, *, strict: bool) -> None:
        self._before, self._after, self._accepted = before, after, accepted
        self._narrower = Severity.ERROR if strict else Severity.WARNING
        self.changes: list[AccessChange] = []
        self.not_compared: list[NotCompared] = []

    def run(self) -> None:
        """Compare the tables, views and topics, then the functions, then the leaks."""
        for name in sorted(self._before.access.keys() | self._after.access.keys(), key=str):
            self._object(name)
        for function in sorted(self._before.functions.keys() | self._after.functions.keys()):
            self._function(function)
        new = _listed(self._after)
        for both in sorted(_listed(self._before).keys() & new.keys()):
            self.not_compared.append(
                NotCompared(object=both, caller="", untested="both", access="", why=new[both])
            )
        self._leaks()

    # -------------------------------------------------------------------------------------------
    # objects

    def _object(self, name: AccessObject) -> None:
        old, new = self._before.access.get(name), self._after.access.get(name)
        if old is not None and new is not None:
            for caller in dict.fromkeys([*new, *old]):
                self._cells(name, caller, old.get(caller), new.get(caller))
            return
        side, other = ("before", self._before) if old is None else ("after", self._after)
        known = new if old is None else old
        if (why := _untested(name, other)) is not None:
            shown: dict[AccessCaller | None, Permissions]
            shown = {caller: actions for caller, actions in (known or {}).items() if actions}
            for who, actions in (shown or {None: frozenset()}).items():
                self.not_compared.append(
                    NotCompared(
                        object=str(name),
                        caller=str(who or ""),
                        untested=side,
                        access=printed(actions),
                        why=why,
                    )
                )
        elif old is None:
            self._new(name, new or {})
        else:
            self._removed(name, old)

    def _new(self, name: AccessObject, access: Mapping[AccessCaller, Permissions]) -> None:
        allowed = {caller: actions for caller, actions in access.items() if actions}
        severity = Severity.ERROR if opens(name, allowed, self._after) else Severity.INFO
        if all(not beyond(a, self._accepted_actions(name, c)) for c, a in allowed.items()):
            severity = Severity.INFO
        cells = wider({name: allowed}, {})
        explained = next(filter(None, map(self._after.explained.get, cells)), None)
        explained = explained or _of_object(self._after, str(name))
        what = _what(name, self._after.relations)
        exists = name.label in self._before.relations and what != _ROWS
        message = f"{what} {name}, which requests can now reach" if exists else f"new {what} {name}"
        message += _without_policies(name, self._after.relations)
        if severity is Severity.INFO:
            explained = replace(explained, fix="")
        self._add(
            NEW,
            severity,
            str(name),
            label=name.label,
            message=f"{message}{_access(allowed)}",
            explained=explained,
            access=allowed,
        )

    def _removed(self, name: AccessObject, access: Mapping[AccessCaller, Permissions]) -> None:
        table = AccessObject(name.label)
        if table != name and table in self._before.access and table not in self._after.access:
            return  # its rows in a state go with it
        allowed = {caller: actions for caller, actions in access.items() if actions}
        severity = Severity.INFO if not allowed else self._narrower
        if self._accepted.access and name not in self._accepted.access:
            severity = Severity.INFO
        what = _what(name, self._before.relations)
        exists = name.label in self._after.relations and what != _ROWS
        message = (
            f"{what} {name}, which requests can no longer reach"
            if exists
            else f"removed {what} {name}"
        )
        self._add(REMOVED, severity, str(name), label=name.label, message=message, access=allowed)

    # -------------------------------------------------------------------------------------------
    # cells

    def _cells(
        self,
        name: AccessObject,
        caller: AccessCaller,
        old: Permissions | None,
        new: Permissions | None,
    ) -> None:
        if old is None or new is None:
            side, known = ("before", new) if old is None else ("after", old)
            if known:
                self.not_compared.append(
                    NotCompared(
                        object=str(name),
                        caller=str(caller),
                        untested=side,
                        access=printed(known),
                        why=_NO_CALLER,
                    )
                )
            return
        uncertain: dict[str, list[Permission]] = {}
        for action in beyond(new, old):
            if self._certain(self._before, name, caller, action):
                self._wider(name, caller, action, _verb(action, old))
            else:
                uncertain.setdefault("before", []).append(action)
        for action in beyond(old, new):
            if self._certain(self._after, name, caller, action):
                agrees = bool(self._accepted.access) and bool(
                    beyond({action}, self._accepted_actions(name, caller))
                )
                severity = Severity.INFO if agrees else self._narrower
                verb = _column_verb("removed", name, action, self._after) or _verb(action, new)
                self._add(
                    NARROWER, severity, str(name), caller, action, label=name.label, verb=verb
                )
            else:
                uncertain.setdefault("after", []).append(action)
        for side, actions in uncertain.items():
            self.not_compared.append(
                NotCompared(
                    object=str(name),
                    caller=str(caller),
                    untested=side,
                    access=" ".join(map(str, actions)),
                    why=_INCONCLUSIVE,
                )
            )

    def _certain(
        self, side: Audit, name: AccessObject, caller: AccessCaller, action: Permission
    ) -> bool:
        """Whether the refusal of an action was tested."""
        return action.kind in side.tested.get((name, caller), ())

    def _wider(
        self, name: AccessObject, caller: AccessCaller, action: Permission, verb: str
    ) -> None:
        is_accepted = not beyond({action}, self._accepted_actions(name, caller))
        explained = self._after.explained.get(Cell(name, caller, action))
        explained = explained or _of_object(self._after, str(name))
        severity = Severity.INFO if is_accepted else Severity.ERROR
        if new_column := _column_verb("new", name, action, self._before):
            verb = new_column
            # the rule of new tables, and of new columns without a grant of their own, which are no
            # change
            if not is_accepted and (caller not in OUTSIDERS or action.kind == "read"):
                severity, explained = self._narrower, replace(explained, fix="")
        self._add(
            WIDER,
            severity,
            str(name),
            caller,
            action,
            label=name.label,
            verb=verb,
            explained=explained,
        )

    def _accepted_actions(self, name: AccessObject, caller: AccessCaller) -> Permissions:
        return accepted_actions(self._accepted, name, caller)

    # -------------------------------------------------------------------------------------------
    # functions

    def _function(self, name: str) -> None:
        old, new = self._before.functions.get(name), self._after.functions.get(name)
        if old is None or new is None:
            known, change = (new, NEW) if old is None else (old, REMOVED)
            allowed = {AccessCaller(role): frozenset({_CALL}) for role in known or ()}
            # what a new function returns or changes is a leak of its own
            message = f"{change} function {name}{_access(allowed)}"
            self._add(change, Severity.INFO, name, message=message, access=allowed)
            return
        accepted = self._accepted.functions.get(name, ())
        for role in sorted(set(new).difference(old)):
            explained = _of_object(self._after, name)
            severity = Severity.INFO if role in accepted else Severity.ERROR
            caller = AccessCaller(role)
            self._add(WIDER, severity, name, caller, _CALL, verb="call", explained=explained)
        for role in sorted(set(old).difference(new)):
            caller = AccessCaller(role)
            self._add(NARROWER, self._narrower, name, caller, _CALL, verb="call")

    # -------------------------------------------------------------------------------------------
    # leaks

    def _leaks(self) -> None:
        old = {f.id: f for f in self._before.findings if f.severity.is_problem}
        new = {f.id: f for f in self._after.findings if f.severity.is_problem}
        # an object that requests no longer reach, or now do, is a change of its own
        removed = set(map(str, self._before.access.keys() - self._after.access.keys()))
        added = map(str, self._after.access.keys() - self._before.access.keys())
        for finding in (f for id_, f in new.items() if id_ not in old):
            if finding.object not in removed:
                self._leak(finding)
        untested = {*_listed(self._after), *added}
        for finding in (f for id_, f in old.items() if id_ not in new):
            if finding.object not in untested and "database" not in untested:
                self._add(
                    CLOSED,
                    Severity.INFO,
                    finding.object,
                    label=finding.label,
                    message=finding.message,
                    id_=finding.id,
                )

    def _leak(self, finding: AuditFinding) -> None:
        severity, message = finding.severity, finding.message
        reason = self._accepted.accepted.get(finding.id, "").strip()
        if reason:
            severity, message = Severity.INFO, f"{message} (accepted: {reason})"
        elif (
            finding.kind not in FROM_CATALOGS
            and {finding.object, "database"} & _listed(self._before).keys()
        ):
            severity, message = Severity.WARNING, f"{message} (not tested before)"
        self._add(
            LEAK,
            severity,
            finding.object,
            label=finding.label,
            message=message,
            explained=finding.explanation,
            id_=finding.id,
        )

    def _add(
        self,
        change: str,
        severity: Severity,
        name: str,
        caller: AccessCaller | None = None,
        action: Permission | None = None,
        *,
        label: str = "",
        message: str = "",
        verb: str = "",
        explained: Explanation = _UNEXPLAINED,
        access: Mapping[AccessCaller, Permissions] | None = None,
        id_: str = "",
    ) -> None:
        named = (id_,) if id_ else (name, *map(str, filter(None, (caller, action))))
        made = AccessChange(
            id=Id(change, *named),
            severity=severity,
            change=change,
            object=name,
            caller=caller,
            action=action,
            message=message,
            cause=explained.cause,
            fix=explained.fix,
            access=access or {},
            verb=verb,
            policies=explained.policies,
            origin=explained.origin,
            column=explained.column,
            label=label or name,
        )
        can = "can now" if change == WIDER else "can no longer"
        self.changes.append(
            made if message else replace(made, message=f"{made.who} {can} {verb} {made.target}")
        )


def _verb(action: Permission, others: Collection[Permission]) -> str:
    """The permission before an object's name; `others` is what the other side allows."""
    if action.value:
        return f"set {action.column} to {action.value} in"
    if action.column:
        return f"{action.kind} {action.column} of"
    if action.parts(others):
        return f"{action.kind} every column of"
    return _VERBS.get(action.kind, action.kind)


def _column_verb(what: str, name: AccessObject, action: Permission, without: Audit) -> str:
    """The verb for a column that one side does not have; '' for other permissions."""
    relation = without.relations.get(name.label)
    if not action.column or relation is None or action.column in relation.columns:
        return ""
    return f"{action.kind} the {what} column {action.column} of"


def _access(allowed: Mapping[AccessCaller, Permissions]) -> str:
    """The access of each caller to an object, after its name."""
    by_actions: dict[Permissions, list[str]] = {}
    for caller, actions in allowed.items():
        by_actions.setdefault(actions, []).append(str(caller))
    parts = [f"{_and(callers)}: {_listing(actions)}" for actions, callers in by_actions.items()]
    return f"; {'; '.join(parts)}" if parts else "; no access"


def _listing(actions: Permissions) -> str:
    """`read, update title, insert in another user's name`."""
    return ", ".join(
        f"{kind} {' and '.join(details)}" if details else _SHORT.get(kind, kind)
        for kind, details in grouped(actions).items()
    )


def _and(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _listed(side: Audit) -> dict[str, str]:
    """The reason for each object that was not tested, but for those that the project excludes."""
    return {item.object: item.why for item in side.not_tested if item.object not in side.excluded}


def _untested(name: AccessObject, side: Audit) -> str | None:
    """Why an object was not tested on a side; None if it does not exist there."""
    listed, relation = _listed(side), side.relations.get(name.label)
    if str(name) in listed or name.label in listed:
        return listed.get(str(name)) or listed[name.label]
    if relation is None or not relation.reachable:
        return None
    if "database" in listed:
        return listed["database"]
    if name.state is not None:
        exist = [_exists(column, name.label, side.relations) for column in name.state.columns]
        return _NO_ROW if exist and all(exist) else None
    return _NO_ROW


def _exists(column: Clause, label: str, relations: Mapping[str, AuditedRelation]) -> bool:
    """Whether a side has the column of a state of this table."""
    tables = (
        relation
        for name, relation in relations.items()
        if (name.endswith(f".{column.table}") if column.table else name == label)
    )
    return any(column.name in relation.columns for relation in tables)


def _what(name: AccessObject, relations: Mapping[str, AuditedRelation]) -> str:
    """The kind of an object."""
    relation = relations.get(name.label)
    if relation is None:
        return "topic"
    return _ROWS if name.state is not None else relation.kind


def _without_policies(name: AccessObject, relations: Mapping[str, AuditedRelation]) -> str:
    """A remark for the reviewer after the name of a table."""
    relation = None if name.state else relations.get(name.label)
    without = relation is not None and relation.kind == "table" and not relation.rls
    return ", without row level security" if without else ""


def _of_object(audit: Audit, name: str) -> Explanation:
    """The explanation of another finding on the object, such as a view that bypasses policies."""
    return next((f.explanation for f in audit.findings if f.object == name), _UNEXPLAINED)


def _position(change: AccessChange) -> tuple[object, ...]:
    caller = str(change.caller or "")
    general = _GENERAL.index(caller) if caller in _GENERAL else len(_GENERAL)
    return _ORDER.index(change.change), change.object, general, caller, str(change.action or "")
