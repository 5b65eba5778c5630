"""Reads tables as facts: what their columns, privileges and policies say."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property

from supabase_jobs.audit.catalog import VAULT, Column, Constraint, Function, Policy, Relation
from supabase_jobs.audit.facts.tables import API_USERS, Table
from supabase_jobs.audit.policies import captured_names, decisions, expressions, tested
from supabase_jobs.audit.policies.decided_elsewhere import DecidedElsewhere
from supabase_jobs.audit.policies.decisions import Free, Meaning
from supabase_jobs.audit.policies.usage import REFUSAL, ColumnKey
from supabase_jobs.audit.probes.attempt import DELETE, INSERT, SELECT, UPDATE
from supabase_jobs.audit.rows.plan import Plan, accepts_rows, user_columns
from supabase_jobs.audit.rows.tenants import Row
from supabase_jobs.audit.rows.values import TIMES

# how a trigger names the change that it notes: the command, the table, or the row before it
_CHANGE = re.compile(r"\b(tg_op|tg_table_name|tg_relid|old)\b", re.IGNORECASE)


class Tables:
    """The tables of an audit; `by_label` has those that were asked for."""

    def __init__(self, plan: Plan, selected: Collection[int]) -> None:
        """`selected` are the tables that are audited."""
        self._plan, self._catalog, self._selected = plan, plan.catalog, selected
        self._elsewhere = DecidedElsewhere(plan.catalog, plan.usage, plan.per_user)
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
        plan, usage, catalog = self._plan, self._plan.usage, self._catalog
        keys = [(relation.oid, column.name) for column in relation.columns]
        membership = plan.memberships.get(relation.oid)
        partition_of = None
        if relation.partition_of is not None:  # of a table that requests may not reach
            parent = catalog.by_oid.get(relation.partition_of)
            partition_of = "" if parent is None else parent.label
        targets = [catalog.by_oid.get(key.target or 0) for key in relation.foreign_keys]
        users = user_columns(relation, usage, plan.per_user)
        claims = [name for _, name in keys if (relation.oid, name) in usage.claim_columns]
        headers = [name for _, name in keys if (relation.oid, name) in usage.header_columns]
        identifying = {*users, *claims, *headers, *relation.primary_key}
        identifying |= {name for key in relation.foreign_keys for name in key.columns}
        stateful = [c.name for c in relation.columns if plan.may_hold_state(relation, c)]
        owners = [name for _, name in keys if (relation.oid, name) in usage.owners]
        free = self._free(relation, owners)
        return Table(
            schema=relation.schema,
            name=relation.name,
            columns={column.name: column.granted for column in relation.columns},
            numbers=[column.name for column in relation.columns if column.category == "N"],
            addresses=[
                name for name in claims if usage.claim_columns[relation.oid, name][-1] == "email"
            ],
            granted=relation.granted,
            served_to=[r for r in API_USERS if catalog.reaches(relation, r)],
            is_selected=relation.oid in self._selected,
            rls=relation.rls or not relation.is_table,
            is_foreign=relation.kind == "f",
            partition_of=partition_of,
            owned=plan.owned(relation),
            per_user=relation.oid in plan.per_user,
            has_random_key=any(
                relation.by_name[name].differs_in_each_run and relation.by_name[name].base == "uuid"
                for name in relation.primary_key
            ),
            is_group=relation.oid in plan.groups,
            is_membership=membership is not None,
            has_invitations=membership is not None and membership.invited is not None,
            accepts_rows=accepts_rows(relation),
            updating=[name for _, name in keys if (relation.oid, name) in usage.updating],
            names_owner=any(oid == relation.oid for oid, _ in usage.owners),
            users=users,
            claims=claims,
            headers=headers,
            checked=[name for _, name in keys if (relation.oid, name) in usage.checked],
            parents=[target.label for target in targets if target is not None],
            parts_of=[catalog.by_oid[key.target or 0].label for key in self.part_keys(relation)],
            locked_by=self._locking(relation, INSERT) - self._locking(relation, UPDATE),
            key_columns={name for key in relation.foreign_keys for name in key.columns},
            read_by_policies=[
                catalog.by_oid[oid].label
                for oid in sorted(usage.reads.get(relation.oid, ()))
                if oid in catalog.by_oid
            ],
            limited=_are_limited(relation, identifying),
            overruled=[role for role in API_USERS if _is_overruled(relation, role)],
            selecting={role: _selecting(relation, role) for role in API_USERS},
            of_callers=[role for role in API_USERS if self._asks_only_callers(relation, role)],
            read_for_new=self._read_for_new(relation),
            shown_to=[role for role in API_USERS if open_to(relation, role, SELECT)],
            without_value=[name for _, name in keys if (relation.oid, name) in usage.without_value],
            mandatory={
                c.name for c in relation.columns if c.not_null and not (c.default or c.generated)
            },
            started=[
                column.name
                for column in relation.columns
                if column.starts_constant and column.category == "N"
            ],
            looked_up=[
                column.name
                for column in relation.columns
                if (relation.oid, column.name) in usage.looked_up
                and column.differs_in_each_run
                and column.name not in relation.primary_key
            ],
            managed=[name for name in stateful if (relation.oid, name) in self._managed],
            acted_on=[name for name in stateful if (relation.oid, name) in usage.acted_on],
            frozen=[name for _, name in keys if (relation.oid, name) in usage.frozen],
            reserved=[name for _, name in keys if (relation.oid, name) in usage.reserved],
            computed=[name for _, name in keys if (relation.oid, name) in usage.computed],
            loose=[name for _, name in keys if (relation.oid, name) in usage.loose],
            guarded=[f.signature for f in self._guarding(relation)],
            untested={role: tested.untested(relation, role, owners) for role in API_USERS},
            left={role: self._left(relation, role, owners) for role in API_USERS},
            chosen={} if free is None else free.columns,
            persons=[] if free is None else free.persons,
            deciders=[] if free is None else free.deciders,
            elsewhere=self._elsewhere.of_table(relation, plan.closed(relation)),
            beside=tested.beside(relation, "authenticated"),
            ends=self._ends(relation, owners),
            required=set(self._required(relation)),
            begun={role: tested.begun(relation, role) for role in API_USERS},
            later={role: tested.later(relation, role) for role in API_USERS},
            kept={role: tested.kept(relation, role) for role in API_USERS},
            read_by_triggers=self._read_by_triggers(relation),
            binding=self._binding(relation),
            logged_by=self._logged_by(relation),
            for_all=[p.name for p in relation.policies if p.permissive and p.command == "*"],
            listed=_listed(relation),
            stand_ins=dict(self._stand_ins(relation)),
            compared_stand_ins=self._compared_stand_ins(relation),
            uncompared=dict(self._uncompared(relation)),
            crossing=dict(self._crossing(relation)),
            following=list(self._following(relation)),
            is_unconditional=_takes_any(relation),
            is_for_guests=any("anon" in p.roles for p in relation.policies if p.governs(INSERT)),
            names_rows=self._names_rows(relation, users),
            personal=_personal(relation),
            absent=[
                catalog.by_oid[oid].label for oid in sorted(usage.absent.get(relation.oid, ()))
            ],
            confidential=[
                c.name
                for c in relation.columns
                if self._is_guarded(relation, c)
                or (c.name not in identifying and self._is_confidential(c))
            ],
        )

    def _asks_only_callers(self, relation: Relation, role: str) -> bool:
        """Whether a policy for SELECT asks who the caller is, and nothing about the row: neither a
        column of it nor a table that has to do with it, as one of members of its group.
        """
        for policy in relation.policies:
            text = policy.visible or "true"
            is_for_role = policy.permissive and policy.applies_to(role) and policy.governs(SELECT)
            if not is_for_role or _lets_all_pass(policy, role, SELECT):
                continue
            tree = expressions.expression_tree(text)
            own = [r for r in expressions.references(tree) if r.table in (None, relation.name)]
            captured = any(captured_names.of_policy(self._catalog, relation, policy))
            if not (own or captured or self._reads_linked(relation, policy)):
                return True
        return False

    def _reads_linked(self, relation: Relation, policy: Policy) -> bool:
        """Whether a policy reads a table which refers to this one, to which this one refers, or
        which belongs to the same row.
        """
        usage, called = self._plan.usage, self._plan.usage.policy_functions
        names = expressions.tables(expressions.expression_tree(policy.visible or "true"))
        signatures = called.get((relation.oid, policy.name), ())
        functions = [f for f in self._catalog.functions if f.signature in signatures]
        read = {oid for f in functions for oid in usage.function_reads.get(f.oid, ())}
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

    def _names_rows(self, relation: Relation, users: Collection[str]) -> bool:
        """Whether each column of users refers to a row of theirs that has a key of its own."""
        plan, rows = self._plan, set[str]()
        for key in relation.foreign_keys:
            above = self._catalog.by_oid.get(key.target or 0)
            persons = user_columns(above, plan.usage, plan.per_user) if above is not None else ()
            if above is not None and not {*persons} & {*key.target_columns}:
                rows |= {*key.columns}
        return bool(users) and rows.issuperset(users)

    def _free(self, relation: Relation, owners: Collection[str]) -> Free | None:
        """The columns that the persons in a row choose, although others change it."""
        meanings, usage = dict(self._meanings(relation)), self._plan.usage
        sides = [n for n in relation.by_name if (relation.oid, n) in usage.claim_columns]
        for role in reversed(API_USERS):
            found = decisions.free(relation, role, owners, meanings)
            found = found or decisions.loosened(relation, role, sides)
            if found is not None:
                return found
        return None

    def _ends(self, relation: Relation, owners: Collection[str]) -> list[str]:
        """The times of an event that views, functions or policies of other tables ask for, and
        after which the person in a row changes it.
        """
        shown = self._showing(relation)
        times = [
            name
            for name, meaning in self._meanings(relation)
            if meaning is Meaning.TIME and name not in shown
            if (relation.oid, name) in self._plan.usage.presences
        ]
        return decisions.unended(relation, "authenticated", owners, times)

    def _showing(self, relation: Relation) -> set[str]:
        """The columns that the table's own policies for SELECT name."""
        texts = [p.visible or "" for p in relation.policies if p.command == "r"]
        return {name for text in texts for name in _columns_in(relation, text)}

    def _meanings(self, relation: Relation) -> Iterator[tuple[str, Meaning]]:
        """The columns that may hold a decision. Of the row that each user has, flags and states are
        preferences unless policies or functions mention them, and not only to show the row; so are
        numbers, unless only others add the row.
        """
        plan, keys = self._plan, {n for key in relation.foreign_keys for n in key.columns}
        keys |= {name for key in relation.unique_keys for name in key}
        is_of_user = relation.oid in plan.per_user
        shown = self._showing(relation)
        closed = plan.closed(relation)
        is_given = accepts_rows(relation) and not any(
            (relation.oid, name) in plan.usage.checked for name in relation.by_name
        )
        for column in relation.columns:
            is_money = column.base == "numeric" or plan.words.amount_columns.matches(column.name)
            is_money |= column.category == "N" and column.name in plan.usage.words
            is_named = (relation.oid, column.name) in plan.usage.mentioned
            is_named &= column.name not in shown
            if column.name in keys:
                continue
            if column.name in closed and (is_named or not is_of_user):
                yield column.name, Meaning.STATE
            elif column.base in TIMES and not column.not_null and column.default is None:
                yield column.name, Meaning.TIME
            elif column.category == "N" and is_money and (is_given or not is_of_user):
                is_stated = column.not_null and column.default is None
                yield column.name, Meaning.STATED if is_stated else Meaning.AMOUNT

    def _required(self, relation: Relation) -> Iterator[str]:
        """The columns of which functions, or policies of other tables, demand a value that a row
        has at first.
        """
        usage = self._plan.usage
        demands = [
            (name, value)
            for found in usage.demands.values()
            for (oid, name), value in found.items()
            if oid == relation.oid
        ]
        for other in self._catalog.relations:
            if other is not relation and relation.oid in usage.reads.get(other.oid, ()):
                for policy in other.policies:
                    demands += tested.demanded(policy)
        for name, closed in self._plan.closed(relation).items():
            if any((name, value) in demands for value in closed.first):
                yield name

    def _left(
        self, relation: Relation, role: str, owners: Collection[str]
    ) -> dict[str, Sequence[str]]:
        states = tested.left(relation, role, owners, self._plan.closed(relation))
        return {name: state.values for name, state in states.items()}

    def _locking(self, relation: Relation, action: str) -> set[str]:
        """The other tables that restrictive policies for an action read."""
        usage, catalog = self._plan.usage, self._catalog
        restrictive = [p for p in relation.policies if not p.permissive and p.governs(action)]
        signatures = {
            signature
            for policy in restrictive
            for signature in usage.policy_functions.get((relation.oid, policy.name), ())
        }
        called = [f.oid for f in catalog.functions if f.signature in signatures]
        read = {oid for one in called for oid in usage.function_reads.get(one, ())}
        found = {catalog.by_oid[oid].label for oid in read if oid in catalog.by_oid}
        for policy in restrictive:
            for text in (policy.visible, policy.checked):
                named = expressions.tables(expressions.expression_tree(text or "true"))
                found |= {r.label for r in catalog.relations if {r.name, r.label} & named}
        return found - {relation.label}

    def _above_by_policies(self, relation: Relation) -> Iterator[tuple[Constraint, Relation, bool]]:
        """The foreign keys with the tables above, and whether policies for writes name these."""
        words = self._plan.usage.write_words.get(relation.oid, set())
        for key in relation.foreign_keys:
            parent = self._catalog.by_oid.get(key.target or 0)
            if parent is not None and parent is not relation:
                yield key, parent, parent.name in words

    def _stand_ins(self, relation: Relation) -> Iterator[tuple[str, str]]:
        """The only column that stands for a person, with the table to which it refers; a table of
        guests is one whose rows a header tells apart.
        """
        plan, usage = self._plan, self._plan.usage
        if user_columns(relation, usage, plan.per_user):
            return
        found = {}
        for key, parent, _ in self._above_by_policies(relation):
            name = key.columns[0]
            is_guest = any((parent.oid, c) in usage.header_columns for c in parent.by_name)
            is_guest &= (relation.oid, name) in usage.through
            is_alone = len(key.columns) == 1 and relation.by_name[name].not_null
            if is_alone and (is_guest or parent.oid in plan.memberships):
                found[name] = parent.label
        if len(found) == 1:
            yield from found.items()

    def _compared_stand_ins(self, relation: Relation) -> list[str]:
        """That column, if a policy compares it with the caller; of a membership, one for writes:
        who is named may read the row as its receiver.
        """
        found = []
        for name, label in self._stand_ins(relation):
            commands = self._plan.usage.through.get((relation.oid, name), set())
            is_member = any(m.relation.label == label for m in self._plan.memberships.values())
            if commands - {"r"} if is_member else commands:
                found.append(name)
        return found

    def _uncompared(self, relation: Relation) -> Iterator[tuple[str, list[str]]]:
        plan = self._plan
        words = plan.usage.write_words.get(relation.oid, set())
        for _, parent, is_named in self._above_by_policies(relation):
            persons = user_columns(parent, plan.usage, plan.per_user)
            sides = [name for name in persons if (parent.oid, name) in plan.usage.mentioned]
            if is_named and len(sides) > 1 and words.isdisjoint(sides):
                yield parent.label, sides

    def _crossing(self, relation: Relation) -> Iterator[tuple[str, str]]:
        words = self._plan.usage.write_words.get(relation.oid, set())
        above = list(self._above_by_policies(relation))
        decisive = {p.oid for key, p, _ in above if words.issuperset(key.columns)}
        whole = {name for f in self._triggering(relation) for name in re.findall(r"\w+", f.body)}
        for key, parent, is_named in above:
            if is_named or parent.name in whole or len(key.columns) > 1:
                continue
            for other in parent.foreign_keys:
                if other.target in decisive - {parent.oid}:
                    yield parent.label, other.columns[0]

    def _following(self, relation: Relation) -> Iterator[str]:
        for policy in relation.policies:
            if policy.permissive and (policy.governs(UPDATE) or policy.governs(DELETE)):
                tree = expressions.expression_tree(policy.visible or "true")
                named = {name.rpartition(".")[2] for name in expressions.tables(tree)}
                asks = expressions.request_values(tree) or expressions.calls(tree)
                for _, parent, _ in self._above_by_policies(relation):
                    if isinstance(tree, dict) and "SubLink" in tree and named == {parent.name}:
                        yield from () if asks or expressions.literals(tree) else [parent.label]

    def _triggering(self, relation: Relation) -> list[Function]:
        """The functions of the table's triggers."""
        return [f for f in self._catalog.functions if f.oid in relation.triggers]

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
        called = usage.policy_functions.get((relation.oid, policy.name), ())
        functions = [f for f in self._catalog.functions if f.signature in called]
        trees = [expressions.expression_tree(t) for t in (policy.visible, policy.checked) if t]
        named = {name for tree in trees for name in expressions.tables(tree)}
        direct = {r.oid for r in self._catalog.tables if {r.name, r.label} & named}
        return direct.union(*(usage.function_reads.get(f.oid, ()) for f in functions))

    def _read_by_triggers(self, relation: Relation) -> set[str]:
        """The columns that functions of the table's triggers name."""
        functions = self._triggering(relation)
        return {name for f in functions for name in _columns_in(relation, f.body)}

    def _binding(self, relation: Relation) -> set[str]:
        """The columns of a table that policies for writes of other tables name."""
        usage = self._plan.usage
        reading = [
            oid
            for oid in usage.write_words.keys() - {relation.oid}
            if relation.oid in usage.reads.get(oid, ())
        ]
        return relation.by_name.keys() & {w for oid in reading for w in usage.write_words[oid]}

    def _logged_by(self, relation: Relation) -> list[str]:
        """The tables whose triggers add a row for a change, if it is a log: nothing refers to its
        rows or finds them by anything but their own key, and functions only add some.
        """
        usage, tables = self._plan.usage, self._catalog.tables
        adding = {oid for oid, added in usage.adds.items() if relation.oid in added}
        setting = any(oid == relation.oid for keys in usage.sets.values() for oid, _ in keys)
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

    @cached_property
    def _managed(self) -> set[ColumnKey]:
        """The columns that functions set with the rights of their owner."""
        definers = [f.oid for f in self._catalog.functions if f.definer]
        return {key for oid in definers for key in self._plan.usage.sets.get(oid, ())}

    def _guarding(self, relation: Relation) -> Iterator[Function]:
        """The functions for users that may refuse what they are asked to add to a table."""
        for function in self._catalog.functions:
            if relation.oid in self._plan.usage.adds.get(function.oid, ()):
                is_for_users = function.definer and not {*API_USERS}.isdisjoint(function.callers)
                refuses = REFUSAL.search(function.body) is not None
                if is_for_users and refuses and function.result != "trigger":
                    yield function

    def _is_guarded(self, relation: Relation, column: Column) -> bool:
        """Whether functions show a column on a condition only, or ask for its value as a proof: not
        one of a few values, such as those of a state.
        """
        usage, key = self._plan.usage, (relation.oid, column.name)
        limits = self._plan.limits.get(relation.oid, {}).get(column.name)
        has_few = key in usage.literals or (limits is not None and bool(limits.allowed))
        return key in usage.masked or (key in usage.proofs and not has_few)

    def _is_confidential(self, column: Column) -> bool:
        words = self._plan.words
        named = column.base != "bool" and words.confidential_columns.matches(column.name)
        return named or words.confidential_comments.matches(column.comment)


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
    return text is not None and expressions.always_true(expressions.expression_tree(text), role)


def _are_limited(relation: Relation, identifying: Collection[str]) -> bool:
    """Whether each policy for SELECT mentions columns of its table, and only identifying ones.

    A policy that names the rows to leave out shows all others on purpose.
    """
    policies = [p for p in relation.policies if p.permissive and p.governs(SELECT)]
    for policy in policies:
        text = policy.visible or ""
        named = _columns_in(relation, text)
        excludes = expressions.excludes(expressions.expression_tree(text))
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
    return bool(opened) and any(_columns_in(relation, p.visible or "") for p in others)


def _personal(relation: Relation) -> list[str]:
    """The columns whose user may read the row by one condition, and others by another one: of the
    policies that are for SELECT only.
    """
    policies = [p for p in relation.policies if p.permissive and p.command == "r"]
    conditions = [c for p in policies for c in _alternatives(p.visible or "true")]
    found = [_only_caller(relation, condition) for condition in conditions]
    return list(dict.fromkeys(name for name in found if name)) if "" in found else []


def _alternatives(text: str) -> Iterator[str]:
    """The operands of OR, also of one in another."""
    operands = expressions.operands(text, "OR")
    for operand in operands:
        yield from [operand] if operands == [operand] else _alternatives(operand)


def _only_caller(relation: Relation, condition: str) -> str:
    """The column of a condition that only compares it with the caller; otherwise ''."""
    fields = (expressions.expression_tree(condition) or {}).get("A_Expr", {})
    sides = [expressions.value(fields.get(name)) for name in ("lexpr", "rexpr")]
    columns = [one.column for one in sides if isinstance(one, expressions.Reference)]
    is_equal = expressions.USER_ID in sides and fields["name"][-1]["String"]["sval"] == "="
    return columns[0] if is_equal and columns and columns[0] in relation.by_name else ""


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


def _columns_in(relation: Relation, text: str) -> set[str]:
    """The columns of a table that a text mentions."""
    return {name for name in relation.by_name if re.search(rf"\b{re.escape(name)}\b", text)}
