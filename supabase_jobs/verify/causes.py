"""Find the cause of each finding, and order the findings so that their fixes run one after the
other.

The cause of an access cell, a scenario or a query plan is the structural finding that is closest to
it: its statements mention the object, or they mention an object whose policies, triggers or body
do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import takewhile

from supabase_jobs.database.parser import syntax
from supabase_jobs.database.parser.statements import split
from supabase_jobs.findings import Finding, Severity, as_comment, as_sql
from supabase_jobs.outcomes import DENIED, is_constraint_violation
from supabase_jobs.verify import plans, structure
from supabase_jobs.verify.context import Change, Context, Trace
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.structure import snapshot
from supabase_jobs.verify.structure.catalog import Fact
from supabase_jobs.verify.structure.fixes import EXISTENCE, kind_place

_SEVERITIES = list(Severity)
_FUNCTION = (
    "function",
    "language",
    "arguments",
    "body",
    "security",
    "settings",
    "volatility",
    "null input",
    "leakproof",
)
_TABLE = {
    "table": 0,
    "row level security": 1,
    "row level security for the owner": 1,
    "owner": 2,
    "rule": 1,
    "child table": 1,
    "parent table": 1,
    "trigger": 1,
    "column": 1,
    "default of column": 1,
    "nullability of column": 1,
    "constraint": 1,
}
# in statements of declarations, which are files, in definitions that the server prints, and in
# bodies of functions
_NAME = re.compile(r'(?:"[^"]+"|\w+)\.(?:"[^"]+"|\w+)')
_FAR = 9
_PRIVILEGES = ("grant", "grant of column", "execute", "schema grant", "policy")
# the object that a role may not use
_REFUSED = re.compile(r'permission denied for \w+(?: \w+)? "?(\w+)')

_NOTHING_DIFFERS = (
    "What the migrations create is as they create it. Look at what else the statement meets:"
    " triggers, rules and constraints of the project, functions, operators and casts that it uses,"
    " and settings of roles, databases and the server."
)
_HINT = "`supabase-jobs verify --only structure` names the object that differs."


def explain(
    context: Context, expectations: Expectations, areas: Sequence[str]
) -> tuple[Finding, ...]:
    """The findings with their causes: first the causes, in an order in which their fixes run, then
    what they explain.

    Each fix is SQL: a sentence becomes a comment. It names the area `structure` if that area was
    not run.
    """
    causes = _Causes(context, expectations)
    # a plan that is slower for an added object that changes nothing else
    added = {
        finding.id
        for finding in context.findings
        if finding.severity is Severity.WARNING
        and finding.id in context.evidence.changes
        and not context.evidence.changes[finding.id].expected
    }
    found = []
    for finding in context.findings:
        hint = finding.id in context.evidence.traces and structure.AREA not in areas
        cause = causes.of(finding)
        fix = finding.fix if structure.AREA not in areas else causes.without_cause(finding)
        fix = f"{fix} {_HINT}" if hint and as_sql(fix) != fix else fix
        fix = as_comment(f"Fixed together with {cause}.") if cause else as_sql(fix)
        of_added = finding.area == plans.AREA and cause in added
        severity = Severity.WARNING if of_added else finding.severity
        found.append(replace(finding, cause=cause, fix=fix, severity=severity))
    found.sort(key=lambda f: (bool(f.cause), *causes.order(f)))
    return tuple(_needed_first(found, causes.created))


def _needed_first(findings: Sequence[Finding], created: Mapping[str, str]) -> list[Finding]:
    """Move each finding behind those whose fixes create what its own fix uses; `created` maps names
    to their ids.
    """
    by_id: dict[str, Finding] = {finding.id: finding for finding in findings}
    ordered: dict[str, Finding] = {}
    open_ids: set[str] = set()

    def add(finding: Finding) -> None:
        if finding.id in open_ids:  # done, or a cycle
            return
        open_ids.add(finding.id)
        for name in sorted(_used(finding.fix)):
            for needed in (name.partition(".")[0], name):
                if needed in created:
                    add(by_id[created[needed]])
        ordered[finding.id] = finding

    for finding in findings:
        add(finding)
    return list(ordered.values())


def _used(fix: str) -> set[str]:
    """The names that must exist when a fix runs. Of a PL/pgSQL function, only the declarations are
    looked up then.
    """
    names: set[str] = set()
    for statement in split(fix):
        for tree in syntax.parse(statement.text) or ():
            if "CommentStmt" not in tree:
                names |= set(syntax.qualified_names(tree))
        for function in syntax.functions(statement.text).values():
            body = function.body
            if function.language == "plpgsql":
                body = "\n".join(takewhile(_is_declaration, body.splitlines()))
            names |= _names(body)
    return names


def _is_declaration(line: str) -> bool:
    return not line.lower().startswith("begin")


class _Causes:
    """The causes among the findings of one run."""

    def __init__(self, context: Context, expectations: Expectations) -> None:
        self._traces = context.evidence.traces
        self._expectations = expectations
        self._changes = {
            f.id: context.evidence.changes[f.id]
            for f in context.findings
            if f.id in context.evidence.changes
        }
        self._severities = {finding.id: finding.severity for finding in context.findings}
        self._fixes = {
            f.id: set(f.fix.splitlines())
            for f in context.findings
            if f.fix and as_sql(f.fix) == f.fix
        }
        self._found: dict[str, str] = {
            finding.id: self._of(finding) for finding in context.findings
        }

    def of(self, finding: Finding) -> str:
        """The id of the finding that explains this one and that no other explains, or ''."""
        cause = self._found[finding.id]
        while cause and self._found[cause]:
            cause = self._found[cause]
        return cause

    def _of(self, finding: Finding) -> str:
        trace = self._traces.get(finding.id)
        if trace is None:
            return self._with_same_fix(finding)
        if cause := self._closest(trace):
            return cause
        first = self._first_refused.get(trace.raised) if _refused(trace.raised) else None
        if first is not None and first != finding.id:
            return first
        return self._with_same_fix(finding)

    @cached_property
    def _first_refused(self) -> Mapping[str, str]:
        """The message of the server → the first finding that no change explains."""
        first: dict[str, str] = {}
        for id, trace in self._traces.items():
            if trace.raised not in first and not self._closest(trace):
                first[trace.raised] = id
        return first

    def without_cause(self, finding: Finding) -> str:
        """The fix of a finding; if a statement deviates and nothing differs, where to look."""
        trace = self._traces.get(finding.id)
        if trace is None or as_sql(finding.fix) == finding.fix:
            return finding.fix
        if _refused(trace.raised):
            return f"The server says: {trace.raised}."
        differs = any(self._severities[id] is not Severity.INFO for id in self._changes)
        return finding.fix if differs else _NOTHING_DIFFERS

    def order(self, finding: Finding) -> tuple[int, ...]:
        """The sort key of a finding: severity, then the kind of change, then the depth of a
        function.
        """
        change = self._changes.get(finding.id)
        kind = "" if change is None else change.kind
        rank = (
            0 if change is not None and not change.expected else kind_place(kind)
        )  # removed before others are created
        # a function comes after those that it calls
        depth = len(self._reach({_bare(finding.object)})) if kind in _FUNCTION else 0
        return _SEVERITIES.index(finding.severity), rank, depth

    @property
    def created(self) -> Mapping[str, str]:
        """The name of each object that is missing → the id of the finding whose fix creates it."""
        changes = self._changes.items()
        return {
            _bare(change.object): id
            for id, change in changes
            if change.kind in EXISTENCE and change.expected
        }

    def _with_same_fix(self, finding: Finding) -> str:
        """A finding whose fix contains every statement of this one's, or '': the first one if their
        fixes are equal.
        """
        if (own := self._fixes.get(finding.id)) is None:
            return ""
        is_first = False
        for id, lines in self._fixes.items():
            is_first = is_first or id == finding.id
            if own < lines or (own == lines and not is_first):
                return id
        return ""

    def _closest(self, trace: Trace) -> str:
        depths = self._reach(_mentioned(trace))
        scored = []
        for id, change in self._changes.items():
            severity = self._severities[id]
            if severity is Severity.INFO and change.kind != "index":
                continue
            if (distance := self._distance(change, trace, depths)) is not None:
                scored.append((severity is not Severity.ERROR, distance, id))
        return min(scored, key=lambda score: score[:2])[2] if scored else ""

    def _distance(self, change: Change, trace: Trace, depths: Mapping[str, int]) -> int | None:
        """How far a change is from what a trace depends on; None if it cannot explain it."""
        if change.kind == "index":
            return _index_distance(change, trace)
        refused = _refused(trace.raised) if change.kind in _PRIVILEGES else ""
        if refused and refused != _bare(change.object).rpartition(".")[2]:
            return None
        if change.kind == "schema grant":
            inside = [
                depth for name, depth in depths.items() if name.startswith(f"{change.object}.")
            ]
            return min(inside) + 1 if inside and _acts_as(trace, change.name) else None
        if (depth := depths.get(_bare(change.object))) is None:
            return None
        penalty = _penalty(change, trace)
        return None if penalty is None else 2 * depth + penalty

    def _reach(self, names: set[str]) -> Mapping[str, int]:
        """The objects that those of these names depend on, and in how many steps."""
        depths: dict[str, int] = {}
        level = names
        for depth in range(_FAR):
            level = {name for name in level if name not in depths}
            if not level:
                break
            depths.update(dict.fromkeys(level, depth))
            level = {used for name in level for used in self._uses.get(name, ())}
        return depths

    @cached_property
    def _uses(self) -> Mapping[str, frozenset[str]]:
        """Object → the objects that its policies, triggers, constraints or its body mention, and
        that refer to it.
        """
        file = self._expectations.declaration(snapshot.FILE_NAME)
        variables = self._expectations.variables
        facts = snapshot.load(file).with_variables(variables).facts if file.is_file() else ()
        uses = {
            name: set(names)
            for name, names in _recorded_uses(facts, self._expectations.texts).items()
        }
        for change in self._changes.values():  # what is in the database instead
            uses.setdefault(_bare(change.object), set()).update(_names(change.actual))
        return {name: frozenset(names) for name, names in uses.items()}


@lru_cache(maxsize=4)
def _recorded_uses(facts: tuple[Fact, ...], texts: tuple[str, ...]) -> Mapping[str, frozenset[str]]:
    uses: dict[str, set[str]] = {}
    for fact in facts:
        if fact.kind in ("policy", "trigger", "constraint", "default of column"):
            uses.setdefault(fact.object, set()).update(_names(fact.create_sql))
            if fact.kind == "constraint" and (
                referenced := syntax.referenced_table(fact.create_sql)
            ):  # a delete there changes the rows here
                uses.setdefault(referenced, set()).add(fact.object)
    for text in texts:
        for name, function in syntax.functions(text).items():
            uses.setdefault(name, set()).update(_names(function.body))
    return {name: frozenset(names) for name, names in uses.items()}


def _mentioned(trace: Trace) -> set[str]:
    """The objects of a trace, and those that its statements mention."""
    mentioned = set(map(_bare, trace.objects))
    return mentioned.union(*map(_names, trace.statements))


def _names(text: str) -> set[str]:
    return {name.replace('"', "") for name in _NAME.findall(text)}


def _bare(object: str) -> str:
    return object.partition("(")[0].replace('"', "")


def _refused(raised: str) -> str:
    """The name of the object that a role may not use, by the server's message; '' for another."""
    found = _REFUSED.match(raised)
    return found[1] if found else ""


def _acts_as(trace: Trace, role: str) -> bool:
    return not trace.role or role.strip('"') in (trace.role, "public")


def _penalty(change: Change, trace: Trace) -> int | None:
    """How unlikely it is that a change of an object explains a trace that reaches it; None if it
    cannot.
    """
    by_privilege = DENIED in (trace.expected, trace.actual)
    match change.kind:
        case "policy":
            return _policy_penalty(change, trace, by_privilege)
        case "grant" | "grant of column" | "execute":
            role = change.name.rpartition(" to ")[2]
            if not _acts_as(trace, role):
                return None
            changed = _privileges(change.expected) ^ _privileges(change.actual)
            is_changed = not trace.command or not changed.isdisjoint(
                (trace.command.upper(), "ALL", "EXECUTE")
            )
            return (0 if is_changed else 3) + (0 if by_privilege else 2)
        case kind if kind in _FUNCTION:
            return 0
        case "owner" if change.actual == trace.role:  # to whom neither grants nor policies apply
            return -1
        case "constraint" if any(map(is_constraint_violation, (trace.expected, trace.actual))):
            return 0
        case kind if kind in _TABLE:
            return _TABLE[kind] + (2 if by_privilege else 0)
    return None


def _policy_penalty(change: Change, trace: Trace, by_privilege: bool) -> int | None:
    penalties = []
    for text in (change.expected_sql, change.actual_sql):
        if (found := syntax.policy_scope(text)) is None:
            continue
        command, roles = found
        if not any(_acts_as(trace, role) for role in roles):
            continue
        if not trace.command or command in (trace.command, "all"):
            penalties.append(0)
        elif command == "select":  # a statement that names columns also needs to read them
            penalties.append(1)
        else:
            penalties.append(3)
    if not penalties:
        return None
    return min(penalties) + (2 if by_privilege else 0)


def _privileges(value: str) -> set[str]:
    return {privilege.partition(" with ")[0] for privilege in value.split(", ") if privilege}


def _index_distance(change: Change, trace: Trace) -> int | None:
    if trace.index and trace.index == change.name:
        return -1
    columns = syntax.index_columns(change.expected_sql)
    is_prefix = bool(trace.columns) and columns[: len(trace.columns)] == trace.columns
    return 1 if is_prefix and _bare(change.object) in map(_bare, trace.objects) else None
