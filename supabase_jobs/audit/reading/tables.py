"""Reads tables as facts: what their columns, privileges and policies say."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from supabase_jobs.audit.catalog import VAULT, Constraint, Policy, Relation
from supabase_jobs.audit.facts.tables import API_USERS, Above, Policies, Rows, Table
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import (
    captured_names,
    expressions,
    parse_trees,
    printed,
    queries,
    tested,
    truth,
    visitors,
)
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.reading.columns import Columns, columns_in, triggering
from supabase_jobs.audit.rows.persons import accepts_rows, user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.tenants import Row

# how a trigger names the change that it notes: the command, the table, or the row before it
_CHANGE = re.compile(r"\b(tg_op|tg_table_name|tg_relid|old)\b", re.IGNORECASE)


class Tables:
    """The tables of an audit; `by_label` has those that were asked for."""

    def __init__(
        self, plan: Plan, selected: Collection[int], *, with_questions: bool = True
    ) -> None:
        """`selected` are the tables that are audited."""
        self._with_questions = with_questions
        self._plan, self._catalog, self._selected = plan, plan.catalog, selected
        self._columns = Columns(plan)
        self.by_label: dict[str, Table] = {}

    def of(self, relation: Relation) -> Table:
        """The facts of a table."""
        if relation.label not in self.by_label:
            self.by_label[relation.label] = self._read(relation)
        return self.by_label[relation.label]

    def labels(self, rows: Iterable[Row]) -> list[str]:
        """The tables of rows; auth.users is none of the catalog's relations. Without Vault."""
        tables = [row.relation for row in rows if row.relation.label != VAULT]
        return list(dict.fromkeys(self.of(table).label for table in tables))

    def part_keys(self, relation: Relation) -> Iterator[Constraint]:
        """The foreign keys to rows of which the rows of a table are parts, or which they are
        below.
        """
        own = self._plan.own_key(relation)
        if own is not None:
            yield own
        for key in relation.foreign_keys:
            target = self._catalog.by_oid.get(key.target or 0)
            if target is None or target is relation or target.oid in self._plan.per_user:
                continue
            if key.cascades and all(relation.by_name[name].not_null for name in key.columns):
                yield key

    def _read(self, relation: Relation) -> Table:
        columns = self._columns
        persons = columns.persons(relation)
        keys = {name for key in relation.foreign_keys for name in key.columns}
        named = {*persons.users, *persons.claims, *persons.headers}
        identifying = {*named, *relation.primary_key, *keys}
        return Table(
            schema=relation.schema,
            name=relation.name,
            columns={column.name: column.granted for column in relation.columns},
            granted=relation.granted,
            listed=_listed(relation),
            served_to=[r for r in API_USERS if self._catalog.reaches(relation, r)],
            is_selected=relation.oid in self._selected,
            rls=relation.rls or not relation.is_table,
            is_foreign=relation.kind == "f",
            partition_of=self._partition_of(relation),
            rows=self._rows(relation),
            above=self._above_of(relation),
            policies=self._policies(relation, identifying),
            persons=persons,
            compared=columns.compared(relation),
            values=columns.values(relation, identifying),
            code=columns.code(relation),
            tested=columns.tested(relation),
            decided=columns.decided(relation, with_questions=self._with_questions),
        )

    def _partition_of(self, relation: Relation) -> str | None:
        """The table of a partition, '' if requests do not reach it; None of other tables."""
        if relation.partition_of is None:
            return None
        parent = self._catalog.by_oid.get(relation.partition_of)
        return "" if parent is None else parent.label

    def _rows(self, relation: Relation) -> Rows:
        """The rows of a table."""
        plan, key = self._plan, [relation.by_name[name] for name in relation.primary_key]
        membership = plan.memberships.get(relation.oid)
        return Rows(
            owned=plan.owned(relation),
            per_user=relation.oid in plan.per_user,
            per_group=any(
                key.target in plan.groups - plan.per_user and key.columns in relation.unique_keys
                for key in relation.foreign_keys
            ),
            has_random_key=any(c.differs_in_each_run and c.base == "uuid" for c in key),
            is_group=relation.oid in plan.groups,
            is_membership=membership is not None,
            has_invitations=membership is not None and membership.invited is not None,
            logged_by=self._logged_by(relation),
        )

    def _above_of(self, relation: Relation) -> Above:
        """The tables to which the rows of a table refer."""
        by_oid = self._catalog.by_oid
        targets = [by_oid.get(key.target or 0) for key in relation.foreign_keys]
        return Above(
            parents=[target.label for target in targets if target is not None],
            parts_of=[by_oid[key.target or 0].label for key in self.part_keys(relation)],
            key_columns={name for key in relation.foreign_keys for name in key.columns},
            locked_by=self._locking(relation, INSERT) - self._locking(relation, UPDATE),
            read_for_new=self._read_for_new(relation),
            uncompared=dict(self._uncompared(relation)),
            crossing=dict(self._crossing(relation)),
            following=list(self._following(relation)),
        )

    def _policies(self, relation: Relation, identifying: Collection[str]) -> Policies:
        """The policies of a table whose rows these columns identify."""
        usage = self._plan.usage
        is_catalog = any(self._is_shown_above(relation, role) for role in API_USERS)
        return Policies(
            selecting={role: _selecting(relation, role) for role in API_USERS},
            shown_to=[role for role in API_USERS if open_to(relation, role, SELECT)],
            of_callers=[role for role in API_USERS if self._asks_only_callers(relation, role)],
            overruled=[role for role in API_USERS if _is_overruled(relation, role)],
            changed_by=[role for role in API_USERS if open_to(relation, role, UPDATE)],
            limited=not is_catalog and _are_limited(relation, identifying),
            visitors=visitors.shown(relation, {*identifying, *self._naming(relation)}),
            for_all=[p.name for p in relation.policies if p.permissive and p.command == "*"],
            accepts_rows=accepts_rows(relation),
            is_unconditional=_takes_any(relation),
            is_for_guests=any("anon" in p.roles for p in relation.policies if p.governs(INSERT)),
            read_by_policies=self._labels(usage.reads.get(relation.oid, ())),
            absent=self._labels(usage.policies.absent.get(relation.oid, ())),
        )

    def _naming(self, relation: Relation) -> set[str]:
        """The columns by which a row is found, or which hold an address or a secret."""
        unique = {name for key in relation.unique_keys for name in key}
        return unique | {name for name in relation.by_name if self._plan.words.is_sensitive(name)}

    def _labels(self, oids: Collection[int]) -> list[str]:
        """The tables and views of the catalog with these oids."""
        by_oid = self._catalog.by_oid
        return [by_oid[oid].label for oid in sorted(oids) if oid in by_oid]

    def _is_shown_above(self, relation: Relation, role: str) -> bool:
        """Whether a policy shows rows by a state of the row above, such as those of a shop that is
        open, and names no caller.
        """
        usage = self._plan.usage
        asking, called = usage.conditions.asking, usage.policies.policy_functions
        for policy in relation.policies:
            if not (policy.permissive and policy.applies_to(role) and policy.governs(SELECT)):
                continue
            tree = parse_trees.expression_tree(policy.visible or "true")
            signatures = called.get((relation.oid, policy.name), ())
            asks = any(
                f.oid in asking for f in self._catalog.functions if f.signature in signatures
            )
            if asks or expressions.request_values(tree):
                continue
            if any(self._is_state_above(relation, one) for one in _outside(tree)):
                return True
        return False

    def _is_state_above(self, relation: Relation, read: tuple[str, str]) -> bool:
        """Whether a column of another table is a state of the row to which one refers."""
        table, column = read
        for key in relation.foreign_keys:
            above = self._catalog.by_oid.get(key.target or 0)
            if above is None or above is relation or table not in (above.name, above.label):
                continue
            if column in above.by_name and self._plan.may_hold_state(above, above.by_name[column]):
                return True
        return False

    def _asks_only_callers(self, relation: Relation, role: str) -> bool:
        """Whether a policy for SELECT asks who the caller is, and nothing about the row: neither a
        column of it nor a table that has to do with it, as one of members of its group. Of persons,
        it may let each of them see the own row, too.
        """
        for policy in relation.policies:
            text = policy.visible or "true"
            is_for_role = policy.permissive and policy.applies_to(role) and policy.governs(SELECT)
            if not is_for_role or _lets_all_pass(policy, role, SELECT):
                continue
            is_of_persons = relation.oid in self._plan.per_user
            parts = printed.alternatives(text, LIMITS.paths) if is_of_persons else [text]
            captured = any(captured_names.of_policy(self._catalog, relation, policy))
            if captured or self._reads_linked(relation, policy):
                continue
            if any(not _names_row(relation, part) for part in parts):
                return True
        return False

    def _reads_linked(self, relation: Relation, policy: Policy) -> bool:
        """Whether a policy reads a table which refers to this one, to which this one refers, or
        which belongs to the same row.
        """
        usage, called = self._plan.usage, self._plan.usage.policies.policy_functions
        names = parse_trees.tables(parse_trees.expression_tree(policy.visible or "true"))
        signatures = called.get((relation.oid, policy.name), ())
        functions = [f for f in self._catalog.functions if f.signature in signatures]
        read = {oid for f in functions for oid in usage.bodies.function_reads.get(f.oid, ())}
        own = self._above(relation)
        for other in self._catalog.relations:
            is_read = other.oid in read or {other.name, other.label} & names
            if is_read and own & self._above(other):
                return True
        return False

    def _above(self, relation: Relation) -> set[int]:
        """The oids of a table and of those above it, but not by and without those of one row for
        each user: an author's row says nothing about the author's text.
        """
        found, waiting = set[int](), [relation]
        while waiting:
            table = waiting.pop()
            is_of_user = table.oid in self._plan.per_user and table is not relation
            if table.oid not in found and not is_of_user:
                found.add(table.oid)
                targets = {key.target for key in table.foreign_keys}
                waiting += [r for r in self._catalog.relations if r.oid in targets]
        return found - self._plan.per_user

    def _locking(self, relation: Relation, action: str) -> set[str]:
        """The other tables that restrictive policies for an action read."""
        usage, catalog = self._plan.usage, self._catalog
        restrictive = [p for p in relation.policies if not p.permissive and p.governs(action)]
        signatures = {
            signature
            for policy in restrictive
            for signature in usage.policies.policy_functions.get((relation.oid, policy.name), ())
        }
        called = [f.oid for f in catalog.functions if f.signature in signatures]
        read = {oid for one in called for oid in usage.bodies.function_reads.get(one, ())}
        found = {catalog.by_oid[oid].label for oid in read if oid in catalog.by_oid}
        for policy in restrictive:
            for text in (policy.visible, policy.checked):
                named = parse_trees.tables(parse_trees.expression_tree(text or "true"))
                found |= {r.label for r in catalog.relations if {r.name, r.label} & named}
        return found - {relation.label}

    def _above_by_policies(self, relation: Relation) -> Iterator[tuple[Constraint, Relation, bool]]:
        """The foreign keys with the tables above, and whether policies for writes name these."""
        words = self._plan.usage.policies.write_words.get(relation.oid, set())
        for key in relation.foreign_keys:
            parent = self._catalog.by_oid.get(key.target or 0)
            if parent is not None and parent is not relation:
                yield key, parent, parent.name in words

    def _uncompared(self, relation: Relation) -> Iterator[tuple[str, list[str]]]:
        plan = self._plan
        words = plan.usage.policies.write_words.get(relation.oid, set())
        for _, parent, is_named in self._above_by_policies(relation):
            persons = user_columns(parent, plan.usage, plan.per_user)
            sides = [
                name for name in persons if (parent.oid, name) in plan.usage.mentions.mentioned
            ]
            if is_named and len(sides) > 1 and words.isdisjoint(sides):
                yield parent.label, sides

    def _crossing(self, relation: Relation) -> Iterator[tuple[str, str]]:
        words = self._plan.usage.policies.write_words.get(relation.oid, set())
        above = list(self._above_by_policies(relation))
        decisive = {p.oid for key, p, _ in above if words.issuperset(key.columns)}
        whole = {
            name for f in triggering(self._catalog, relation) for name in re.findall(r"\w+", f.body)
        }
        for key, parent, is_named in above:
            if is_named or parent.name in whole or len(key.columns) > 1:
                continue
            for other in parent.foreign_keys:
                if other.target in decisive - {parent.oid}:
                    yield parent.label, other.columns[0]

    def _following(self, relation: Relation) -> Iterator[str]:
        for policy in relation.policies:
            if policy.permissive and (policy.governs(UPDATE) or policy.governs(DELETE)):
                tree = parse_trees.expression_tree(policy.visible or "true")
                named = {table["relname"] for table in parse_trees.nodes(tree, "RangeVar")}
                asks = expressions.request_values(tree) or parse_trees.calls(tree)
                for _, parent, _ in self._above_by_policies(relation):
                    if isinstance(tree, dict) and "SubLink" in tree and named == {parent.name}:
                        yield from () if asks or parse_trees.literals(tree) else [parent.label]

    def _read_for_new(self, relation: Relation) -> list[str]:
        """The tables that policies for new rows read, and none for changed ones."""
        found: dict[str, set[int]] = {INSERT: set(), UPDATE: set()}
        for policy in relation.policies:
            for action in (INSERT, UPDATE):
                if policy.governs(action) and policy.permissive:
                    found[action] |= self._read_by(relation, policy)
        return [self._catalog.by_oid[oid].label for oid in sorted(found[INSERT] - found[UPDATE])]

    def _read_by(self, relation: Relation, policy: Policy) -> set[int]:
        """The tables that a policy reads, directly or by functions."""
        usage = self._plan.usage
        called = usage.policies.policy_functions.get((relation.oid, policy.name), ())
        functions = [f for f in self._catalog.functions if f.signature in called]
        trees = [parse_trees.expression_tree(t) for t in (policy.visible, policy.checked) if t]
        named = {name for tree in trees for name in parse_trees.tables(tree)}
        direct = {r.oid for r in self._catalog.tables if {r.name, r.label} & named}
        return direct.union(*(usage.bodies.function_reads.get(f.oid, ()) for f in functions))

    def _logged_by(self, relation: Relation) -> list[str]:
        """The tables whose triggers add a row for a change, if it is a log: nothing refers to its
        rows or finds them by anything but their own key, and functions only add some.
        """
        usage, tables = self._plan.usage, self._catalog.tables
        adding = {oid for oid, added in usage.bodies.adds.items() if relation.oid in added}
        setting = any(oid == relation.oid for keys in usage.bodies.sets.values() for oid, _ in keys)
        referred = any(key.target == relation.oid for one in tables for key in one.foreign_keys)
        keys = {*relation.unique_keys} - {relation.primary_key}
        own_key = [relation.by_name[name] for name in relation.primary_key]
        if setting or referred or keys or any(c.is_demanded for c in own_key):
            return []
        noting = {f.oid for f in self._catalog.functions if _CHANGE.search(f.body)} & adding
        by_triggers = {oid for one in tables for oid in one.triggers}
        if not noting or not adding <= by_triggers:
            return []
        return [one.label for one in tables if noting & {*one.triggers}]


def open_to(relation: Relation, role: str, action: str) -> Sequence[Policy]:
    """The permissive policies that let every row of a role pass; none if a restrictive policy may
    refuse it.
    """
    applying = [p for p in relation.policies if p.applies_to(role) and p.governs(action)]
    if not all(p.permissive for p in applying):
        return []
    return [p for p in applying if _lets_all_pass(p, role, action)]


def _takes_any(relation: Relation) -> bool:
    """Whether anon may insert a row whoever it is, and whatever it refers to."""
    applying = [p for p in relation.policies if p.applies_to("anon") and p.governs(INSERT)]
    return any(tested.is_of_anybody(relation, p) for p in applying) and all(
        p.permissive for p in applying
    )


def _lets_all_pass(policy: Policy, role: str, action: str) -> bool:
    text = policy.visible
    if action == INSERT:
        text = policy.checked or policy.visible
    return text is not None and truth.always_true(parse_trees.expression_tree(text), role)


def _are_limited(relation: Relation, identifying: Collection[str]) -> bool:
    """Whether each policy for SELECT mentions columns of its table, and only identifying ones.

    A policy that names the rows to leave out shows all others on purpose.
    """
    policies = [p for p in relation.policies if p.permissive and p.governs(SELECT)]
    for policy in policies:
        text = policy.visible or ""
        named = columns_in(relation, text)
        excludes = truth.excludes(parse_trees.expression_tree(text))
        if excludes or not named or not named.issubset(identifying):
            return False
    return bool(policies)


def _is_overruled(relation: Relation, role: str) -> bool:
    """Whether a policy lets a role read every row, although another one selects rows by their
    columns.
    """
    opened = open_to(relation, role, SELECT)
    policies = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    others = [p for p in policies if p.governs(SELECT) and p not in opened]
    return bool(opened) and any(columns_in(relation, p.visible or "") for p in others)


def _outside(tree: Any) -> Iterator[tuple[str, str]]:
    """The tables and columns that a condition names with the name or alias of a table."""
    tables = parse_trees.aliases(tree)
    for reference in queries.references(tree):
        if reference.table in tables:
            yield tables[reference.table], reference.column


def _selecting(relation: Relation, role: str) -> list[str]:
    """The permissive policies for SELECT of a role."""
    policies = [p for p in relation.policies if p.permissive and p.applies_to(role)]
    return [p.name for p in policies if p.governs(SELECT)]


def _listed(relation: Relation) -> dict[str, list[str]]:
    """Privilege, such as "anon UPDATE" → the columns that a GRANT names."""
    found: dict[str, list[str]] = {}
    for column in relation.columns:
        for key in sorted(column.listed):
            found.setdefault(key, []).append(column.name)
    return found


def _names_row(relation: Relation, condition: str) -> bool:
    """Whether a condition names a column of the row."""
    found = queries.references(parse_trees.expression_tree(condition))
    return any(one.table in (None, relation.name) for one in found)
