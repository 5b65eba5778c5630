"""The candidates of the columns of a row to insert, the likeliest first."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from supabase_jobs.audit.catalog import USERS, Column, Constraint, Relation, is_partition_column
from supabase_jobs.audit.common import Common
from supabase_jobs.audit.configuration import Configuration
from supabase_jobs.audit.policies import check_constraints, expressions, parse_trees
from supabase_jobs.audit.policies.expressions import Literal
from supabase_jobs.audit.rows import values
from supabase_jobs.audit.rows.compared_values import is_acceptance
from supabase_jobs.audit.rows.insertion import (
    DEFAULT,
    Choice,
    Insertion,
    Place,
    row_token,
)
from supabase_jobs.audit.rows.memberships import Membership
from supabase_jobs.audit.rows.persons import user_columns
from supabase_jobs.audit.rows.plan import Plan
from supabase_jobs.audit.rows.reports import Reports
from supabase_jobs.audit.rows.steps import is_deferred
from supabase_jobs.audit.rows.tenants import Tenant, User
from supabase_jobs.audit.words import WordList, Words
from supabase_jobs.findings import RowState

# behind the rows that are inserted: one that is refused undoes no other
_SET = "select set_config(%s, %s, true), set_config(%s, %s, true)"


# a column of the new row in a trigger, and the text behind it in the same condition
_NEW_COLUMN = re.compile(r"\bnew\.(\w+)([^;]{0,80})", re.IGNORECASE)
_LITERAL = re.compile(r"'([^']+)'")
_NAMED_TYPES = {"text", "varchar", "bpchar", "citext"}
# cfg ? 'theme', cfg -> 'theme', cfg ->> 'theme'
_JSON_KEY = re.compile(r"(?:\?|->>?)\s*\(?'(\w+)'")


class Choices:
    """Prepares rows to insert."""

    def __init__(
        self,
        plan: Plan,
        tenants: Sequence[Tenant],
        now: datetime,
        configured: Configuration,
        common: Common,
        reports: Reports,
        *,
        stable: bool,
    ) -> None:
        self._plan, self._tenants, self._now = plan, tenants, now
        self._configuration, self._common, self._stable = configured, common, stable
        self._reports = reports
        self._named_values: dict[int, dict[str, list[Choice]]] = {}

    def prepare(
        self,
        relation: Relation,
        tenant: Tenant,
        user: User,
        later: Sequence[Constraint],
        part: RowState | None = None,
    ) -> Insertion | None:
        """A row of a user with its candidates; None if there is none for a column."""
        number = self._common.number("rows", relation.label, user.name, str(part or ""))
        choices: dict[str, list[Choice]] = {}
        limits = self._plan.limits.get(relation.oid, {})
        sides = self._named_for_another(relation, user)
        declared = self._configuration.values(relation)
        for column in relation.columns:
            if column.name in declared:
                choices[column.name] = [declared[column.name]]
                continue
            if column.filled_by_server:
                if self._stable and column.differs_in_each_run and column.base in values.INTEGERS:
                    choices[column.name] = [str(values.stable_key(column, number)), DEFAULT]
                continue
            place = Place(
                relation=relation,
                column=column,
                tenant=tenant,
                user=tenant.owner if column.name in sides else user,
                later=later,
                limits=limits.get(column.name, check_constraints.Limits()),
                number=number,
            )
            options = self._of_column(place, part, is_further=bool(part) or user.link is not None)
            if not options:
                if user is tenant.owner and tenant is self._tenants[0]:
                    self._reports.report_parent(relation, column)
                return None
            choices[column.name] = options
        self._set_person(choices, relation, user)
        return Insertion(
            relation=relation,
            tenant=tenant,
            user=user,
            choices=choices,
            chosen={name: options[0] for name, options in choices.items()},
            number=number,
            part=part,
        )

    def _named_for_another(self, relation: Relation, user: User) -> Collection[str]:
        """The columns that name the owner in the row of another side."""
        if user.link is None or user.link.relation is not relation:
            return ()
        users = user_columns(relation, self._plan.usage, self._plan.per_user)
        return [name for name in users if name != user.link.column]

    def _of_column(self, place: Place, part: RowState | None, *, is_further: bool) -> list[Choice]:
        """The candidates of a column. A row that `is_further` may need another parent."""
        relation, name = place.relation, place.column.name
        if self._is_half_key(place) and not part:
            first = self._tenants[0].owner.name
            same = self._common.number("rows", relation.label, first, str(part or ""))
            place = replace(place, number=same)
        options = self._options(place)
        if is_further and any(name in key for key in relation.unique_keys):
            options = [*options, *self._further_parents(relation, name, place.tenant)]
        if literals := self._refused_otherwise(relation).get(name):
            known = [literal for literal in literals if literal not in options]
            options = [*options[:1], *known, *options[1:]]
        return options

    def _set_person(self, choices: dict[str, list[Choice]], relation: Relation, user: User) -> None:
        """Put first what makes a row that of this person: a role, a state, a post."""
        is_former = user.member is not None and user.member.former
        if (membership := self._plan.memberships.get(relation.oid)) is not None:
            _set_role(choices, membership, user, self._plan.words)
        elif is_former and relation.oid in self._plan.per_user:
            _end(choices, relation, self._plan.words)
        else:
            for name, state in self.admitted(relation).items():
                if name in choices:
                    choices[name] = [state, *(c for c in choices[name] if c != state)]
        if user.post is not None and user.post.relation is relation:
            choices |= {name: [value] for name, value in user.post.values.items()}

    def admitted(self, relation: Relation) -> dict[str, str]:
        """The states of a person in a tenant: if the default only waits for one that policies or
        functions ask for, that one.
        """
        if not self._plan.tenants.get(relation.oid):
            return {}
        states = {c.name: self._plan.admitted(relation, c) for c in relation.columns}
        return {name: state for name, state in states.items() if state is not None}

    def _is_half_key(self, place: Place) -> bool:
        """Whether a column numbers the rows of one group, as policies may forget that compare it:
        the second tenant has the same number as the first one.
        """
        relation, column = place.relation, place.column
        if place.tenant is not self._tenants[1] or place.user is not place.tenant.owner:
            return False
        if column.base not in values.INTEGERS or column.default is not None:
            return False
        keys = [key for key in relation.unique_keys if column.name in key]
        referring = {name for key in relation.foreign_keys for name in key.columns}
        is_part = all(referring.intersection(key) for key in keys)
        is_compared = (relation.oid, column.name) in self._plan.usage.equated
        return bool(keys) and is_part and is_compared and column.name not in referring

    def _refused_otherwise(self, relation: Relation) -> dict[str, list[Choice]]:
        """Values that the triggers of a table, or its CHECK constraints on JSON, name for a
        column.
        """
        if relation.oid not in self._named_values:
            found: dict[str, list[Choice]] = {}
            for body in self.bodies(relation):
                for name, behind in _NEW_COLUMN.findall(body):
                    if name in relation.by_name and relation.by_name[name].base in _NAMED_TYPES:
                        found.setdefault(name, []).extend(_LITERAL.findall(behind))
            for column in relation.columns:
                if column.base in ("json", "jsonb"):
                    found[column.name] = _documents_with_keys(relation, column)
            self._named_values[relation.oid] = found
        return self._named_values[relation.oid]

    def bodies(self, relation: Relation) -> list[str]:
        """The bodies of the trigger functions of a table."""
        return [f.body for f in self._plan.catalog.functions if f.oid in relation.triggers]

    def _options(self, place: Place) -> list[Choice]:
        """The candidates of a column, the best first; [] if it needs a parent that is missing."""
        keys = [k for k in place.relation.foreign_keys if place.column.name in k.columns]
        filled_later = next((key for key in keys if key in place.later), None)
        if filled_later is not None:
            return self._provisional(place, filled_later)
        parents = self._of_parents(place, keys) if keys else []
        if any(isinstance(one, str) for one in parents) or any(key.kind == "f" for key in keys):
            return parents
        if identifying := self._identifying(place):
            return [*identifying, *_empty(place.column)]
        if place.relation.bounds and is_partition_column(place.relation, place.column):
            return [*values.in_bounds(place.relation.bounds), *_empty(place.column)]
        return self._generated(place)

    def _provisional(self, place: Place, key: Constraint) -> list[Choice]:
        """Values of a foreign key that is filled after all levels."""
        if not is_deferred(place.relation, key):
            return _empty(place.column)
        return [value for value in self._candidates(place) if value]

    def _of_parents(self, place: Place, keys: Sequence[Constraint]) -> list[Choice]:
        """The keys of the rows that a row refers to; none if it refers to its own table only."""
        relation, column, tenant, user = place.relation, place.column, place.tenant, place.user
        empty = _empty(column)
        parents = [
            self._parent_value(k, column.name, self._source(relation, k, tenant, user), user)
            for k in keys
            if k.target != relation.oid
        ]
        if not parents:
            return empty
        known = [value for value in parents if value is not None]
        if not known:
            return empty
        others = self._others(relation, column.name, tenant, user)
        membership = self._plan.memberships.get(relation.oid)
        if membership is not None and column.name in membership.groups:
            return [*others, *known, *empty]  # who follows another user
        return [*known, *others, *empty]

    def _identifying(self, place: Place) -> list[Choice]:
        """The values of a column that names the owner; none if it names nobody."""
        usage, key = self._plan.usage, (place.relation.oid, place.column.name)
        tenant, user = place.tenant, place.user
        if key in usage.request.claims.get(("email",), ()) and user.email:
            return [user.email]
        if key in usage.persons.users:
            ids = [user.id, *(u.id for u in tenant.users if u is not user)]
            if place.column.category == "A":
                return [values.array(ids[: max(place.limits.shortest, 1)])]
            return [*ids[:2]]
        if key in self._plan.tenant_values:
            of = self._tenants[-1] if user.is_inactive else tenant
            return [of.shared_value(place.column)]
        claim = tenant.claims.get(usage.claim_columns.get(key, ()))
        if claim is not None:
            return [claim]
        header = tenant.headers.get(usage.header_columns.get(key, ""))
        if header is not None:
            return [usage.of_header(key, header)]
        return []

    def _generated(self, place: Place) -> list[Choice]:
        """Values of the type, those first that open the row to nobody else."""
        relation, column = place.relation, place.column
        literals = self._plan.usage.constants.literals.get((relation.oid, column.name), [])
        generated = self._candidates(place)
        if column.typtype == "e" or place.limits.allowed:
            # a row is private if policies open rows with other values; not those that ask for the
            # role of the caller by a helper
            powerful = self._plan.words.powerful_roles
            opening = self._plan.usage.compared_directly(relation, column)
            generated.sort(key=lambda value: (value in opening, powerful.matches(value or "")))
        elif values.may_be_unset(column) and self._is_unset(relation, column):
            generated.sort(key=lambda value: value is not None)
        elif column.base in ("text", "varchar", "citext"):
            generated += [literal for literal in literals if literal not in generated]
        if column.default is None:
            return list(generated)
        given = [value for value in generated if value is not None]
        null: list[Choice] = [] if column.not_null else [None]
        is_empty = expressions.value(parse_trees.expression_tree(column.default)) == Literal("")
        if (self._stable and column.differs_in_each_run) or (is_empty and not literals):
            return [*given, DEFAULT, *null]
        return [DEFAULT, *given, *null]

    def _candidates(self, place: Place) -> list[str | None]:
        token = row_token(place.tenant, place.number)
        return values.candidates(
            place.column, place.limits, token, place.number, self._now, self._plan.words
        )

    def _is_unset(self, relation: Relation, column: Column) -> bool:
        """Whether policies test that a time is not set, or of other tables than memberships that it
        is.

        A row is not accepted, dropped, paid or released yet; but a membership is accepted.
        """
        key, usage = (relation.oid, column.name), self._plan.usage
        if relation.oid in self._plan.memberships:
            is_valid_from = is_acceptance(relation, column, usage, self._plan.words)
            return key in usage.mentions.nulls and not is_valid_from
        return key in usage.mentions.nulls or key in usage.mentions.presences

    def _source(self, relation: Relation, key: Constraint, tenant: Tenant, user: User) -> Tenant:
        """The tenant whose row a row refers to; who is no member has the second tenant's role,
        without permissions. Who is no member any more belongs to the second tenant.
        """
        if user.is_inactive and set(key.columns) <= set(self._plan.tenants.get(relation.oid, ())):
            return self._tenants[-1]
        assigns = relation.oid in self._plan.memberships and key.target in self._plan.roles
        return self._tenants[-1] if assigns and user.membership is None else tenant

    def _parent_value(self, key: Constraint, column: str, tenant: Tenant, user: User) -> str | None:
        at = key.columns.index(column)
        if key.target_name == USERS:
            return {"id": user.id, "email": user.email}.get(key.target_columns[at])
        row = tenant.row(key.target, user if user in tenant.users or user.in_both else tenant.owner)
        return None if row is None else row.values.get(key.target_columns[at])

    def _further_parents(self, relation: Relation, column: str, tenant: Tenant) -> list[Choice]:
        """For a unique foreign key: the keys of the parent's further rows, because the first one
        has a child.
        """
        keys = {
            key.target: key.target_columns[0]
            for key in relation.foreign_keys
            if key.columns == (column,)
        }
        rows = [row for row in tenant.owner.extra if row.relation.oid in keys]
        return [row.values[keys[row.relation.oid]] for row in rows]

    def _others(self, relation: Relation, column: str, tenant: Tenant, user: User) -> list[Choice]:
        """For a column that identifies a user: the tenant's other users, for rows that need two."""
        if column not in user_columns(relation, self._plan.usage, self._plan.per_user):
            return []
        [key] = [k for k in relation.foreign_keys if column in k.columns][:1]
        found = (
            self._parent_value(key, column, tenant, other)
            for other in tenant.users
            if other is not user
        )
        return [value for value in islice(found, 1) if value is not None]


def _documents_with_keys(relation: Relation, column: Column) -> list[Choice]:
    """JSON objects with the keys that the CHECK constraints of a column name."""
    checks = [*column.checks, *(c.definition or "" for c in relation.constraints if c.kind == "c")]
    mentioned = [text for text in checks if column.name in text or "VALUE" in text]
    keys = list(dict.fromkeys(key for text in mentioned for key in _JSON_KEY.findall(text)))
    values_: tuple[object, ...] = ("text", 1, True, [], {})
    return [json.dumps(dict.fromkeys(keys, value)) for value in values_] if keys else []


def _set_role(
    choices: dict[str, list[Choice]], membership: Membership, user: User, words: Words
) -> None:
    """Give a membership the role of its user: the first role for the owner."""
    if membership.role is not None and membership.roles and membership.role in choices:
        wanted = user.role if user.role is not None else membership.roles[0]
        choices[membership.role] = [wanted, *(c for c in choices[membership.role] if c != wanted)]
    marks = [mark for mark in (membership.former, membership.invited) if mark is not None]
    for column, _ in marks:
        if column in choices:
            refused: list[Choice] = [value for name, value in marks if name == column]
            if user.membership is not None and membership.starts(column) in refused:
                refused.append(DEFAULT)
            valid = [choice for choice in choices[column] if choice not in refused]
            if membership.relation.by_name[column].base in values.RANGES:
                valid = [*(c for c in valid if c is DEFAULT), values.CURRENT, *valid]
            choices[column] = _current(valid, words)
    is_former = user.member is not None and user.member.former
    own = membership.former if is_former else membership.invited
    if user.is_inactive and own is not None and own[0] in choices:
        choices[own[0]] = [own[1], *choices[own[0]]]
    if user.standing is not None and user.standing[0] in choices:
        column, value = user.standing
        choices[column] = [value]


def _empty(column: Column) -> list[Choice]:
    """The values of a column that is left out."""
    found: list[Choice] = [] if column.default is None else [DEFAULT]
    return found if column.not_null else [*found, None]


def _end(choices: dict[str, list[Choice]], relation: Relation, words: Words) -> None:
    """Let a former member leave by the row that each user has, too: an account or a member of the
    staff.
    """
    for column in relation.columns:
        if column.name in choices and words.ending_columns.matches(column.name):
            ended = "true" if column.base == "bool" else "2020-01-01"
            if column.base == "bool" or values.may_be_unset(column):
                choices[column.name] = [ended, *choices[column.name]]


def _current(options: list[Choice], words: Words) -> list[Choice]:
    """Prefer a value that marks a membership as valid."""
    return sorted(options, key=lambda option: not _is_among(option, words.valid_states))


def _is_among(option: Choice, states: WordList) -> bool:
    return isinstance(option, str) and states.matches(option)
