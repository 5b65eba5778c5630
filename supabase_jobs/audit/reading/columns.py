"""Reads the columns of tables as facts: what they hold, and what code does with them."""

import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from functools import cached_property

from supabase_jobs.audit.catalog import Catalog, Column, Function, Relation
from supabase_jobs.audit.facts.columns import Code, Compared, Decided, Persons, Tested, Values
from supabase_jobs.audit.facts.tables import API_USERS
from supabase_jobs.audit.policies import (
    decisions,
    expressions,
    parse_trees,
    printed,
    tested,
    unbound_persons,
)
from supabase_jobs.audit.policies.decided_elsewhere import DecidedElsewhere
from supabase_jobs.audit.policies.decisions import Free, Meaning
from supabase_jobs.audit.policies.expressions import Literal
from supabase_jobs.audit.policies.usage.triggers import REFUSAL
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.rows.persons import accepts_rows, user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.values import TIMES


class Columns:
    """The columns of the tables of an audit."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._catalog = plan, plan.catalog
        self._elsewhere = DecidedElsewhere(plan.catalog, plan.usage, plan.per_user)

    def persons(self, relation: Relation) -> Persons:
        """Those that say whose a row is."""
        usage = self._plan.usage
        users = user_columns(relation, usage, self._plan.per_user)
        claims = _among(relation, usage.claim_columns)
        of_claims = usage.claim_columns
        return Persons(
            users=users,
            claims=claims,
            headers=_among(relation, usage.header_columns),
            addresses=[name for name in claims if of_claims[relation.oid, name][-1] == "email"],
            names_rows=self._names_rows(relation, users),
            accounts=list(self._accounts(relation)),
            stand_ins=dict(self._stand_ins(relation)),
        )

    def _accounts(self, relation: Relation) -> Iterator[str]:
        """The columns of each user's row that stand for the address of the account."""
        plan = self._plan
        unique = {key[0] for key in relation.unique_keys if len(key) == 1}
        for column in relation.columns if relation.oid in plan.per_user else ():
            name = column.name
            is_unique = name in unique and column.category == "S"
            is_copied = (relation.oid, name) in plan.usage.triggers.addresses
            if is_copied or (is_unique and plan.words.sensitive_columns.matches(name)):
                yield name

    def compared(self, relation: Relation) -> Compared:
        """Those that policies compare with the caller."""
        usage = self._plan.usage
        return Compared(
            checked=_among(relation, usage.persons.checked),
            updating=_among(relation, usage.persons.updating),
            names_owner=any(oid == relation.oid for oid, _ in usage.persons.owners),
            compared_stand_ins=self._compared_stand_ins(relation),
            personal=_personal(relation),
            without_value=_among(relation, usage.request.without_value),
        )

    def values(self, relation: Relation, identifying: Collection[str]) -> Values:
        """Columns by their values; those that are `identifying` are confidential if code says so
        only.
        """
        looked_up = self._plan.usage.looked_up
        columns = relation.columns
        return Values(
            numbers=[c.name for c in columns if c.category == "N"],
            flags=[c.name for c in columns if c.base == "bool"],
            started=[c.name for c in columns if c.starts_constant and c.category == "N"],
            from_zero=[c.name for c in columns if c.category == "N" and _is_zero(c.default)],
            mandatory={c.name for c in columns if c.not_null and not (c.default or c.generated)},
            looked_up=[
                c.name
                for c in columns
                if (relation.oid, c.name) in looked_up and c.differs_in_each_run
                if c.name not in relation.primary_key
            ],
            confidential=[
                c.name
                for c in columns
                if self._is_guarded(relation, c)
                or (c.name not in identifying and self._is_confidential(c))
            ],
        )

    def code(self, relation: Relation) -> Code:
        """Those that triggers and functions set or guard."""
        plan, usage = self._plan, self._plan.usage
        stateful = {c.name for c in relation.columns if plan.may_hold_state(relation, c)}
        return Code(
            managed=[name for name in _among(relation, self._managed) if name in stateful],
            acted_on=[
                name for name in _among(relation, usage.triggers.acted_on) if name in stateful
            ],
            frozen=_among(relation, usage.triggers.frozen),
            reserved=_among(relation, usage.triggers.reserved),
            computed=_among(relation, usage.triggers.computed),
            loose=_among(relation, usage.triggers.loose),
            read_by_triggers=self._read_by_triggers(relation),
            guarded=[function.signature for function in self._guarding(relation)],
        )

    def tested(self, relation: Relation) -> Tested:
        """Those that policies test."""
        owners, closed = self._owners(relation), self._plan.closed(relation)
        left = {role: tested.left(relation, role, owners, closed) for role in API_USERS}
        return Tested(
            untested={role: tested.untested(relation, role, owners) for role in API_USERS},
            begun={role: tested.begun(relation, role) for role in API_USERS},
            later={role: tested.later(relation, role) for role in API_USERS},
            kept={role: tested.kept(relation, role) for role in API_USERS},
            left={role: _values_of(states) for role, states in left.items()},
            beside=tested.beside(relation, "authenticated"),
            required=set(self._required(relation)),
        )

    def decided(self, relation: Relation, *, with_questions: bool) -> Decided:
        """Those about which others decide; without questions, those only by which others do."""
        if not with_questions:
            return Decided(binding=self._binding(relation))
        owners = self._owners(relation)
        free = self._free(relation, owners) or Free(persons=[], columns={}, deciders=[])
        return Decided(
            chosen=free.columns,
            persons=free.persons,
            deciders=free.deciders,
            elsewhere=self._elsewhere.of_table(relation, self._plan.closed(relation)),
            binding=self._binding(relation),
            ends=self._ends(relation, owners),
            unbound=dict(self._unbound(relation)),
            waiting=self._waiting(relation),
        )

    def _unbound(self, relation: Relation) -> Iterator[tuple[str, list[str]]]:
        """The columns that say whose a row is, and that a policy for writes leaves free; not those
        of a membership, about which there are other questions, or of the row that each user has.
        """
        plan, usage = self._plan, self._plan.usage
        is_other = relation.oid not in plan.memberships and not relation.is_storage
        persons = user_columns(relation, usage, plan.per_user) if is_other else ()
        unique = {key[0] for key in relation.unique_keys if len(key) == 1}
        own = unique if relation.oid in plan.per_user else set[str]()
        return unbound_persons.find(
            relation,
            [name for name in persons if name not in own],
            bound={name for _, name in usage.persons.checked},
            given=_among(relation, usage.triggers.given),
            frozen=_among(relation, usage.triggers.frozen),
        )

    def _waiting(self, relation: Relation) -> list[str]:
        """The columns that wait in a new row for what happens to it: no policy for new rows names
        them, and no trigger sets them. Times do so beside a state or another person.
        """
        plan, closed = self._plan, self._plan.closed(relation)
        adding = [policy for policy in relation.policies if policy.governs("insert")]
        kept = {name for policy in adding for name in tested.written(relation, policy).mentioned}
        persons = {*user_columns(relation, plan.usage, plan.per_user)}
        if not persons & kept:
            persons.clear()  # each of them may be the writer
        kept |= {*_among(relation, plan.usage.triggers.given)}
        kept |= {name for key in relation.unique_keys for name in key}
        states, times = list[str](), list[str]()
        for column in relation.columns:
            name, is_empty = column.name, column.default is None and not column.not_null
            may = any(relation.may(role, "INSERT", name) for role in API_USERS)
            if name in kept or column.generated or not may:
                continue
            if (is_empty and name in persons) or (name in closed and column.default is not None):
                states.append(name)
            elif is_empty and column.base in TIMES:
                times.append(name)
        return [*states, *times] if states and adding and relation.rls else []

    def _owners(self, relation: Relation) -> list[str]:
        """The columns that a policy of the table compares with the caller."""
        return _among(relation, self._plan.usage.persons.owners)

    def _names_rows(self, relation: Relation, users: Collection[str]) -> bool:
        """Whether each column of users refers to a row of theirs that has a key of its own."""
        plan, rows = self._plan, set[str]()
        for key in relation.foreign_keys:
            above = self._catalog.by_oid.get(key.target or 0)
            persons = user_columns(above, plan.usage, plan.per_user) if above is not None else ()
            if above is not None and not {*persons} & {*key.target_columns}:
                rows |= {*key.columns}
        return bool(users) and rows.issuperset(users)

    def _stand_ins(self, relation: Relation) -> Iterator[tuple[str, str]]:
        """The only column that stands for a person, with the table to which it refers; a table of
        guests is one whose rows a header tells apart.
        """
        plan, usage = self._plan, self._plan.usage
        if user_columns(relation, usage, plan.per_user):
            return
        found = {}
        for key in relation.foreign_keys:
            parent, name = self._catalog.by_oid.get(key.target or 0), key.columns[0]
            if parent is None or parent is relation:
                continue
            is_guest = any((parent.oid, c) in usage.header_columns for c in parent.by_name)
            is_guest &= (relation.oid, name) in usage.policies.through
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
            commands = self._plan.usage.policies.through.get((relation.oid, name), set())
            is_member = any(m.relation.label == label for m in self._plan.memberships.values())
            if commands - {"r"} if is_member else commands:
                found.append(name)
        return found

    def _is_guarded(self, relation: Relation, column: Column) -> bool:
        """Whether functions show a column on a condition only, or ask for its value as a proof: not
        one of a few values, such as those of a state.
        """
        usage, key = self._plan.usage, (relation.oid, column.name)
        limits = self._plan.limits.get(relation.oid, {}).get(column.name)
        has_few = key in usage.constants.literals or (limits is not None and bool(limits.allowed))
        return key in usage.secrets.masked or (key in usage.secrets.proofs and not has_few)

    def _is_confidential(self, column: Column) -> bool:
        words = self._plan.words
        named = column.base != "bool" and words.confidential_columns.matches(column.name)
        return named or words.confidential_comments.matches(column.comment)

    @cached_property
    def _managed(self) -> set[ColumnKey]:
        """The columns that functions set with the rights of their owner."""
        definers = [f.oid for f in self._catalog.functions if f.definer]
        return {key for oid in definers for key in self._plan.usage.bodies.sets.get(oid, ())}

    def _guarding(self, relation: Relation) -> Iterator[Function]:
        """The functions for users that may refuse what they are asked to add to a table."""
        for function in self._catalog.functions:
            if relation.oid in self._plan.usage.bodies.adds.get(function.oid, ()):
                is_for_users = function.definer and not {*API_USERS}.isdisjoint(function.callers)
                refuses = REFUSAL.search(function.body) is not None
                if is_for_users and refuses and function.result != "trigger":
                    yield function

    def _read_by_triggers(self, relation: Relation) -> set[str]:
        """The columns that functions of the table's triggers name."""
        functions = triggering(self._catalog, relation)
        return {name for f in functions for name in columns_in(relation, f.body)}

    def _required(self, relation: Relation) -> Iterator[str]:
        """The columns of which functions, or policies of other tables, demand a value that a row
        has at first.
        """
        usage = self._plan.usage
        demands = [
            (name, value)
            for found in usage.conditions.demands.values()
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
            if (relation.oid, name) in self._plan.usage.mentions.presences
        ]
        return decisions.unended(relation, "authenticated", owners, times)

    def _showing(self, relation: Relation) -> set[str]:
        """The columns that the table's own policies for SELECT name."""
        texts = [p.visible or "" for p in relation.policies if p.command == "r"]
        return {name for text in texts for name in columns_in(relation, text)}

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
            (relation.oid, name) in plan.usage.persons.checked for name in relation.by_name
        )
        for column in relation.columns:
            is_money = column.base == "numeric" or plan.words.amount_columns.matches(column.name)
            is_money |= column.category == "N" and column.name in plan.usage.mentions.words
            is_named = (relation.oid, column.name) in plan.usage.mentions.mentioned
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

    def _binding(self, relation: Relation) -> set[str]:
        """The columns of a table that policies for writes of other tables name."""
        usage = self._plan.usage
        reading = [
            oid
            for oid in usage.policies.write_words.keys() - {relation.oid}
            if relation.oid in usage.reads.get(oid, ())
        ]
        return relation.by_name.keys() & {
            w for oid in reading for w in usage.policies.write_words[oid]
        }


def _is_zero(default: str | None) -> bool:
    """Whether a number is 0 by default, in any form."""
    start = expressions.value(parse_trees.expression_tree(default or "null"))
    return isinstance(start, Literal) and start.text.strip("0") in ("", ".")


def triggering(catalog: Catalog, relation: Relation) -> list[Function]:
    """The functions of the table's triggers."""
    return [f for f in catalog.functions if f.oid in relation.triggers]


def columns_in(relation: Relation, text: str) -> set[str]:
    """The columns of a table that a text mentions."""
    return {name for name in relation.by_name if re.search(rf"\b{re.escape(name)}\b", text)}


def _among(relation: Relation, keys: Container[ColumnKey]) -> list[str]:
    """The columns of a table that are among some, in their order."""
    return [column.name for column in relation.columns if (relation.oid, column.name) in keys]


def _values_of(states: Mapping[str, tested.Left]) -> dict[str, Sequence[str]]:
    return {name: state.values for name, state in states.items()}


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
    operands = printed.operands(text, "OR")
    for operand in operands:
        yield from [operand] if operands == [operand] else _alternatives(operand)


def _only_caller(relation: Relation, condition: str) -> str:
    """The column of a condition that only compares it with the caller; otherwise ''."""
    fields = (parse_trees.expression_tree(condition) or {}).get("A_Expr", {})
    sides = [expressions.value(fields.get(name)) for name in ("lexpr", "rexpr")]
    columns = [one.column for one in sides if isinstance(one, expressions.Reference)]
    is_equal = expressions.USER_ID in sides and fields["name"][-1]["String"]["sval"] == "="
    return columns[0] if is_equal and columns and columns[0] in relation.by_name else ""
