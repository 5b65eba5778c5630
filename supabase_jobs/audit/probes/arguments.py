"""The arguments that functions are called with: values of tenant A's rows, values that match any
row, and values at the edge of a type.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, permutations, product
from typing import Any

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.catalog import Function, Relation, plain_column
from supabase_jobs.audit.limits import LIMITS
from supabase_jobs.audit.policies import expressions, parse_trees, queries
from supabase_jobs.audit.policies.check_constraints import Limits
from supabase_jobs.audit.policies.uses import ColumnKey
from supabase_jobs.audit.rows import patterns, values
from supabase_jobs.audit.rows.build import World
from supabase_jobs.audit.rows.tenants import Row, Tenant
from supabase_jobs.session.action import Constant

_INTEGERS = ("bigint", "integer", "smallint")
NUMBERS = (*_INTEGERS, "numeric", "double precision", "real")
_IDS, _TEXTS = ("uuid", "bigint", "integer"), ("text", "character varying")
_DOCUMENTS = ("json", "jsonb")
_TIMES = ("date", "timestamp with time zone", "timestamp without time zone")
# before and after each time of the world
_PAST, _FUTURE = "1970-01-01", "2100-01-01"
# of the characters of a token: all rows of a tenant contain them, and no token is recognized by
# them
PART = 3
# SQL as an argument: a statement, a part of a quoted text, an expression, and a condition
STATEMENT = "select 1/0"
_INJECTED = (STATEMENT, "'||(1/0)||'", "1/0", "1/0 = 0")
_PREFIX = re.compile(r"^(p|in|arg|param|target|_)_|^_+|_+$")
_BASES = {
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "double precision": "float8",
    "real": "float4",
    "character varying": "varchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
}
# values of the members of documents that a body casts to these types
_CAST = {
    **dict.fromkeys(("int2", "int4", "int8", "numeric", "float4", "float8"), "1"),
    **dict.fromkeys(("date", "timestamp", "timestamptz"), _PAST),
    "bool": "true",
}
# operators of JSON and of regular expressions, as the parser names them
_MEMBERS, _MATCHES = ("->", "->>", "?"), ("~", "~*")


@dataclass
class Argument:
    """The values of one argument, the likeliest first.

    `known` identify a row of tenant A, or are as good as any; `anything` matches any row; `edges`
    are those that a body may have forgotten, such as null and the empty array.
    """

    name: str
    type: str
    known: list[str | None] = field(default_factory=list)
    anything: list[str | None] = field(default_factory=list)
    edges: list[str | None] = field(default_factory=list)


@dataclass(frozen=True)
class Identifying:
    """Arguments that identify `rows` of tenant A. `is_mixed`: some of them identify rows of the
    caller. `is_apart`: one of the rows belongs to another row of the same table as one that is
    given. `is_across`: two rows of the same table belong to different groups.
    """

    arguments: list[Constant]
    rows: Sequence[Row]
    is_mixed: bool
    is_apart: bool
    is_across: bool


@dataclass(frozen=True)
class _Mentions:
    """The constants of a body: all words, the keys of documents with the types that they are cast
    to, and by argument the labels and patterns that it is compared with, or the values of the
    column into which it is written.
    """

    words: Sequence[str]
    keys: Sequence[str]
    casts: Mapping[str, str]
    labels: Mapping[str, Sequence[str]]
    patterns: Mapping[str, Sequence[str]]


class Arguments:
    """Chooses the arguments of calls, from the generated rows and from the bodies of functions."""

    def __init__(self, world: World, *, knows_secrets: bool = False) -> None:
        """`knows_secrets`: the values that nobody else knows are passed, too."""
        self._world, self._plan = world, world.plan
        self._knows_secrets = knows_secrets
        self._known: dict[tuple[str, str], list[str | None]] = {}
        self._mentions: dict[int, _Mentions] = {}
        columns = [c for r in world.plan.catalog.relations for c in r.columns if c.labels]
        self._labels = {column.base: list(column.labels) for column in columns}

    def lists(self, function: Function, caller: Persona) -> list[list[Constant]]:
        """The arguments of calls, the likeliest first: ids of tenant A, then values that match any
        row, then the edges of each type.

        Arguments with a default are left out, and given. What runs with the caller's own privileges
        shows it no more with other arguments.
        """
        choices = self.choices(function, caller)
        required = len(choices) - function.defaults
        few = [choice.known for choice in choices[: required or None]]
        found = [list(chosen) for chosen in islice(product(*few), LIMITS.calls)]
        if function.definer and choices:
            found[1:1] = [] if required else [[]]
            of_rows = self._of_rows(function, choices)
            found[1:1] = [*self._of_new_members(function, choices, caller, of_rows), *of_rows]
            first = [choice.known[0] for choice in choices]
            found += [first] if required and function.defaults else []
            # a pattern that matches any row, where other arguments limit nothing
            loose = [c.anything[0] if c.type in _TEXTS else None for c in choices]
            if function.defaults and required:
                found.append([choice.anything[0] for choice in choices[:required]])
            elif any(loose) and None in loose:
                found.append(loose)
            anything = product(*(choice.anything for choice in choices))
            found += [list(chosen) for chosen in islice(anything, LIMITS.calls)]
            for variants in ([c.anything[:2] for c in choices], [c.edges for c in choices]):
                found += _one_changed(first, variants)
        types = [choice.type for choice in choices]
        typed = dict.fromkeys(tuple(map(Constant, chosen, types)) for chosen in found)
        chosen = list(islice(typed, LIMITS.calls_in_all))
        if function.definer and choices:  # a guard may compare with <>, which is not true for NULL
            nulls = [[None] if c.type in _TEXTS else [] for c in choices]
            chosen += (tuple(map(Constant, one, types)) for one in _one_changed(first, nulls))
        return list(map(list, dict.fromkeys(chosen)))

    def identifying(self, function: Function, caller: Persona) -> Iterator[Identifying]:
        """Arguments that identify rows of tenant A, and those that identify a row of the caller
        each but for one, by an id or by a secret: a guard may look at another one than the
        statement behind it.
        """
        choices = self.choices(function, caller)
        others: dict[int, tuple[Row, str]] = {}
        secret = self._own_secrets(function, caller)
        own = {**secret}
        for number, choice in enumerate(choices):
            relation = self._identified(function, choice.name)
            other = None if relation is None else self._world.a.rows.get(relation.oid)
            if relation is None or other is None:
                continue
            [key] = relation.primary_key
            others[number] = other, other.values[key] or ""
            if caller.tenant is self._world.b and caller.user is not None:
                mine = caller.tenant.row(relation.oid, caller.user)
                own |= {} if mine is None else {number: (mine, mine.values[key] or "")}
        mixed = [
            {**own, number: other}
            for number, other in others.items()
            if number in own and len(own) > 1
        ]
        for chosen in (others, *mixed[: LIMITS.mixed_calls]):
            values_ = [
                chosen[at][1] if at in chosen else choice.known[0]
                for at, choice in enumerate(choices)
            ]
            given = [row for row, _ in chosen.values()]
            yield Identifying(
                arguments=[Constant(v, c.type) for v, c in zip(values_, choices, strict=True)],
                rows=given,
                is_mixed=chosen is not others,
                is_apart=self._is_apart(function, given) or _is_beside(chosen, secret),
                is_across=self._is_across(function, given),
            )

    def of_caller(self, function: Function, caller: Persona) -> list[Constant]:
        """The arguments that identify rows of the caller, and the likeliest of the others."""
        found = []
        for choice in self.choices(function, caller):
            is_person = caller.user is not None and caller.user.id in choice.known
            value = caller.user.id if caller.user and is_person else choice.known[0]
            row = self._own_row(function, caller, choice.name)
            if row is not None:
                value = row.values.get(row.relation.primary_key[0])
            found.append(Constant(value, choice.type))
        return found

    def own_rows(self, function: Function, caller: Persona) -> list[Row]:
        """The rows of the caller that these arguments identify."""
        names = function.argument_names[: len(function.argument_types)]
        found = (self._own_row(function, caller, name) for name in names)
        return [row for row in found if row is not None]

    def rows_above(self, rows: Sequence[Row]) -> list[Row]:
        """The rows to which some rows refer, directly or not, without those of persons and of
        memberships: these say who somebody is.
        """
        persons = self._plan.per_user | self._plan.memberships.keys()
        found = {id(above): above for row in rows for above in self._above(row, ()).values()}
        return [
            row for row in found.values() if row not in rows and row.relation.oid not in persons
        ]

    def _own_secrets(self, function: Function, caller: Persona) -> dict[int, tuple[Row, str]]:
        """Argument → the row of the caller that it finds by a value that others do not know."""
        found: dict[int, tuple[Row, str]] = {}
        if caller.tenant is not self._world.b or caller.user is None:
            return found
        for number, name in enumerate(function.argument_names[: len(function.argument_types)]):
            for oid, column in self._secret_columns(function, name):
                row = caller.tenant.row(oid, caller.user)
                value = None if row is None else row.values.get(column)
                if row is not None and value is not None:
                    found[number] = row, value
        return found

    def _own_row(self, function: Function, caller: Persona, name: str) -> Row | None:
        relation = self._identified(function, name)
        if relation is None or caller.tenant is None or caller.user is None:
            return None
        return caller.tenant.row(relation.oid, caller.user)

    def _identified(self, function: Function, name: str) -> Relation | None:
        """The table of whose rows an argument identifies one: that of the column which the body
        compares with it, or the one to which this column refers.
        """
        catalog = self._plan.catalog
        for oid, column in self._columns(function, name):
            relation, seen = catalog.by_oid[oid], {oid}
            while True:
                keys = [k for k in relation.foreign_keys if k.columns == (column,)]
                key = next((k for k in keys if k.target in catalog.by_oid.keys() - seen), None)
                if key is None:
                    break
                relation, [column] = catalog.by_oid[key.target or 0], key.target_columns
                seen.add(relation.oid)
            if relation.primary_key == (column,):
                return relation
        return None

    def _is_apart(self, function: Function, rows: Sequence[Row]) -> bool:
        """Whether one of some rows belongs, directly or not, to another row of the same table as
        another one of them. A table of persons does not count: rows of others are there to be
        answered.
        """
        usage = self._plan.usage
        chosen = {*usage.bodies.sets[function.oid], *usage.conditions.demands[function.oid]}
        for row in rows:
            above = self._above(row, chosen)
            for other in rows:
                oid = other.relation.oid
                is_group = oid not in self._plan.per_user | self._plan.memberships.keys()
                if other is not row and is_group and above.get(oid, other) is not other:
                    return True
        return False

    def _is_across(self, function: Function, rows: Sequence[Row]) -> bool:
        """Whether two of some rows are of the same table, and belong to different rows of a table
        other than one of persons.
        """
        usage = self._plan.usage
        chosen = {*usage.bodies.sets[function.oid], *usage.conditions.demands[function.oid]}
        persons = self._plan.per_user | self._plan.memberships.keys()
        for row, other in permutations(rows, 2):
            if row.relation is not other.relation:
                continue
            above, beside = self._above(row, chosen), self._above(other, chosen)
            shared = (above.keys() & beside.keys()) - persons
            if any(above[oid] is not beside[oid] for oid in shared):
                return True
        return False

    def _above(self, row: Row, chosen: Collection[ColumnKey]) -> dict[int, Row]:
        """Table → the row to which a row refers, directly or not, by columns that are not `chosen`
        by a function.
        """
        found: dict[int, Row] = {}
        waiting = [row]
        while waiting:
            below = waiting.pop()
            for key in below.relation.foreign_keys:
                if any((below.relation.oid, name) in chosen for name in key.columns):
                    continue
                for tenant in (self._world.a, self._world.b):
                    target = tenant.rows.get(key.target or 0)
                    if target is None or target.relation.oid in found:
                        continue
                    pairs = zip(key.columns, key.target_columns, strict=True)
                    if all(below.values.get(own) == target.values.get(at) for own, at in pairs):
                        found[target.relation.oid] = target
                        waiting.append(target)
        return found

    def injections(self, function: Function, caller: Persona) -> Iterator[list[Constant]]:
        """Arguments with SQL that fails with an error of its own if it runs."""
        choices = self.choices(function, caller)
        of_victim = [Constant(choice.known[0], choice.type) for choice in choices]
        # a guard may let the caller's own rows pass only
        own = [Constant(self._own(choice, caller), choice.type) for choice in choices]
        for first in (of_victim, own) if own != of_victim else (of_victim,):
            for number, argument in enumerate(first):
                for text in _INJECTED if argument.type in _TEXTS else ():
                    yield [*first[:number], Constant(text, argument.type), *first[number + 1 :]]

    def choices(self, function: Function, caller: Persona) -> list[Argument]:
        """The values of each argument."""
        names = [*function.argument_names, *[""] * len(function.argument_types)]
        described = zip(
            names,
            function.argument_types,
            function.argument_labels,
            function.argument_relations,
            strict=False,
        )
        times = 0
        found = []
        for name, type_, labels, relation in described:
            choice = self._choice(function, caller, name, type_)
            if labels:
                choice.known = choice.anything = json.loads(labels)
            elif relation in self._world.a.rows:
                choice.known = choice.anything = [_as_record(self._world.a.rows[relation])]
            elif type_ in _TIMES:  # the beginning and the end of a range
                choice.anything = [_FUTURE if times else _PAST]
                times += 1
            found.append(choice)
        return found

    def _choice(self, function: Function, caller: Persona, name: str, type_: str) -> Argument:
        mentions = self._mentioned(function)
        known = self._with_own_id(self._candidates(name, type_), caller)
        looked_up = self._looked_up(function, name)
        if type_.endswith("[]"):  # a body compares an element with a column
            looked_up = [value and _as_array(value) for value in looked_up]
        known = list(dict.fromkeys([*looked_up, *known]))
        choice = Argument(name=name, type=type_, known=known, anything=known[:1], edges=[None])
        if type_ == "boolean":
            choice.anything = ["true", "false"]
        elif type_ in _TEXTS:
            token = self._world.a.token
            labels = mentions.labels.get(name, ())
            matching = [patterns.matching(p, token) for p in mentions.patterns.get(name, ())]
            choice.known = [*matching, *(labels or known)]
            words = [word for word in mentions.words if word not in labels]
            choice.anything = ["%", token[:PART], *labels, *words[:2]]
            choice.edges = [*labels[1:], "", None]
        elif type_ in _DOCUMENTS:
            document = json.dumps(
                {key: self._of_key(key, mentions.casts.get(key, "")) for key in mentions.keys}
            )
            choice.known = [*known, document]
            choice.anything = ["{}"]
            choice.edges = [f"[{document}]", "[]", None]
        elif type_ in _INTEGERS or type_ == "numeric":
            choice.edges = ["1", "0", "-1", None]  # a guard may ask for a positive number
        elif type_.endswith("[]"):
            choice.edges = [*self._mixed(name, type_, caller), "{}", None]
        return choice

    # -------------------------------------------------------------------------------------------
    # from the rows

    def _of_rows(self, function: Function, choices: Sequence[Argument]) -> list[list[str | None]]:
        """Lists of values that one row of tenant A has in the columns that the body compares with
        several arguments, such as the two persons of a conversation.
        """
        found: dict[tuple[str | None, ...], None] = {}
        by_table = self._compared(function, choices)
        for oid, columns in by_table.items():
            if len(columns) < 2:
                continue
            for row in self._rows_of(oid):
                chosen = [
                    row.values.get(columns.get(choice.name, ""), choice.known[0])
                    for choice in choices
                ]
                found.setdefault(tuple(chosen))
        return [list(chosen) for chosen in islice(found, LIMITS.calls)]

    def _of_new_members(
        self,
        function: Function,
        choices: Sequence[Argument],
        caller: Persona,
        of_rows: Sequence[Sequence[str | None]],
    ) -> Iterator[list[str | None]]:
        """The values of a membership with another person, for a function that adds such rows: each
        generated user is in the group already. The person is the caller, or else one of tenant B.
        """
        users = {user.id for user in self._world.a.users}
        person = self._world.b.owner.id
        if caller.user is not None and caller.user.id not in users:
            person = caller.user.id
        for oid, columns in self._compared(function, choices).items():
            membership = self._plan.memberships.get(oid)
            if membership is None or oid not in self._plan.usage.bodies.adds[function.oid]:
                continue
            for number, choice in enumerate(choices):
                if of_rows and columns.get(choice.name) == membership.user:
                    first = of_rows[0]
                    yield [*first[:number], person, *first[number + 1 :]]

    def _compared(
        self, function: Function, choices: Sequence[Argument]
    ) -> dict[int, dict[str, str]]:
        """Table → argument → the column that the body compares with it."""
        found: dict[int, dict[str, str]] = {}
        for choice in choices:
            for oid, column in self._columns(function, choice.name):
                found.setdefault(oid, {}).setdefault(choice.name, column)
        return found

    def _columns(self, function: Function, name: str) -> list[tuple[int, str]]:
        """The columns that a body compares with an argument, without those whose values nobody
        else knows: who has the link of a document may read it.
        """
        if self._is_secret(name):
            return []
        columns = self._plan.usage.bodies.arguments.get((function.oid, name), [])
        return [(oid, column) for oid, column in columns if not self._is_unknown(oid, column)]

    def _looked_up(self, function: Function, name: str) -> list[str | None]:
        """The values, in the rows of tenant A, of the columns that a function compares with an
        argument.
        """
        columns = self._columns(function, name)
        found = (row.values.get(column) for oid, column in columns for row in self._rows_of(oid))
        return list(islice((value for value in found if value is not None), LIMITS.calls))

    def _rows_of(self, oid: int) -> list[Row]:
        """The rows of tenant A's owner, then those of the other users; the first one in each state
        comes before the others.
        """
        usage = self._plan.usage
        found = [row for row in self._world.a.all_rows if row.relation.oid == oid]
        seen: dict[tuple[str | None, ...], int] = {}
        order: dict[int, int] = {}
        for row in found:
            state = tuple(
                v for name, v in row.values.items() if (oid, name) in usage.constants.literals
            )
            order[id(row)] = seen[state] = seen.get(state, -1) + 1
        return sorted(found, key=lambda row: order[id(row)])

    def found_by_secret(self, function: Function) -> list[int]:
        """The tables in which the body looks a row up by a value that others do not know."""
        names = function.argument_names[: len(function.argument_types)]
        found = (oid for name in names for oid, _ in self._secret_columns(function, name))
        return list(dict.fromkeys(found))

    def _secret_columns(self, function: Function, name: str) -> Iterator[ColumnKey]:
        """The columns with values that others do not know which a body compares with an
        argument.
        """
        for oid, column in self._plan.usage.bodies.arguments.get((function.oid, name), ()):
            relation = self._plan.catalog.by_oid[oid]
            known = relation.by_name[column]
            refers = any(column in key.columns for key in relation.foreign_keys)
            is_secret = self._plan.words.unknown_values.matches(column)
            is_secret |= (oid, column) in self._plan.usage.secrets.bearers
            is_secret &= known.base in ("text", "varchar")  # also as a key
            is_random = known.differs_in_each_run and not _is_id(relation, column)
            if not refers and (is_secret or is_random):
                yield oid, column

    def of_row(self, function: Function, caller: Persona, row: Row) -> list[Constant]:
        """The arguments that find a row: its values, and the likeliest of the others."""
        compared = self._plan.usage.bodies.arguments
        found = []
        for choice in self.choices(function, caller):
            columns = compared.get((function.oid, choice.name), ())
            same = [row.values.get(name) for oid, name in columns if oid == row.relation.oid]
            found.append(Constant(same[0] if same else choice.known[0], choice.type))
        return found

    def _is_unknown(self, oid: int, column: str) -> bool:
        """Whether only those who may read a column know its values: a random value or a secret
        that is no id.
        """
        relation = self._plan.catalog.by_oid.get(oid)
        if relation is None:
            return True
        if self._knows_secrets:
            return False
        if _is_id(relation, column) and not self._is_secret_key(relation, column):
            return False
        is_random = relation.by_name[column].differs_in_each_run
        is_reference = relation.by_name[column].base in ("text", "varchar") and column.endswith(
            "_id"
        )
        is_person = (oid, column) in self._plan.usage.persons.users
        is_secret = self._is_secret(column) or (oid, column) in self._plan.usage.secrets.bearers
        return is_random or is_secret or (is_reference and not is_person)

    def _is_secret_key(self, relation: Relation, column: str) -> bool:
        """Whether the key of a table is a secret that the server draws, such as that of a link."""
        known = relation.by_name[column]
        is_text = known.base in ("text", "varchar") and known.differs_in_each_run
        return is_text and relation.primary_key == (column,) and self._is_secret(column)

    def _is_secret(self, name: str) -> bool:
        """Whether an argument or a column holds a secret, by its name: a share link or an
        invitation. A stranger does not know that of another tenant.
        """
        is_named_so = self._plan.words.unknown_values.matches(name) and not name.endswith("id")
        return is_named_so and not self._knows_secrets

    def _with_own_id(self, candidates: list[str | None], caller: Persona) -> list[str | None]:
        """The candidates, and the caller's id after that of tenant A's owner: it may gain something
        for itself. Then another user of tenant A, for functions about two persons.
        """
        owner, *others = self._world.a.users
        if owner.id not in candidates:
            return candidates
        own = [] if caller.user is None else [caller.user.id]
        return [candidates[0], *own, *candidates[1:], *(user.id for user in others[:1])]

    def _own(self, choice: Argument, caller: Persona) -> str | None:
        """The value that identifies a row of the caller's own tenant; otherwise the likeliest."""
        if choice.type not in _IDS or caller.tenant is None:
            return choice.known[0]
        for row in self._world.a.rows.values():
            own = caller.own_row(row.relation.oid)
            if own is not None and [row.values.get(key) for key in row.key] == [choice.known[0]]:
                return own.values.get(row.key[0])
        return choice.known[0]

    def _mixed(self, name: str, type_: str, caller: Persona) -> list[str | None]:
        """An array of the caller's own id and one of tenant A: a body may look at one of them."""
        if caller.tenant is None or type_ != "uuid[]":
            return []
        ids = [
            value
            for tenant in (caller.tenant, self._world.a)
            for value in self._elements(tenant, name)[:1]
        ]
        return [values.array(ids)] if len(set(ids)) > 1 else []

    def _elements(self, tenant: Tenant, name: str) -> list[str]:
        found = self._ids(tenant, name.removesuffix("s"), "uuid")
        return [value for value in (*found, tenant.owner.id) if value]

    def _of_key(self, key: str, type_: str) -> str | None:
        """The value of a member of a document, of the type that the body casts it to."""
        plain, words = key.lower(), self._plan.words
        if type_ in _CAST:
            return _CAST[type_]
        if plain.endswith(("id", "uuid")) or words.person_arguments.matches(plain):
            return self._candidates(key, "uuid")[0]
        if "email" in plain:
            return self._world.a.owner.email
        if words.number_members.matches(plain):
            return "1"
        return self._candidates(key, "uuid")[0]

    # -------------------------------------------------------------------------------------------
    # by name and type

    def _candidates(self, name: str, type_: str) -> list[str | None]:
        """Values for an argument: ids of tenant A that fit its name, the likeliest first."""
        if (name, type_) not in self._known:
            self._known[name, type_] = self._find_candidates(name, type_)
        return self._known[name, type_]

    def _find_candidates(self, name: str, type_: str) -> list[str | None]:
        plain = _PREFIX.sub("", name.lower())
        secret = self._is_secret(plain)
        source = self._world.b if secret else self._world.a
        if type_.endswith("[]") and type_[:-2] in (*_IDS, *_TEXTS):
            elements = [
                value
                for value in self._find_candidates(name.removesuffix("s"), type_[:-2])
                if value
            ]
            return ["{" + ",".join(json.dumps(value) for value in elements) + "}"]
        if type_ in (*_IDS, *_TEXTS) and not secret:
            found = self._ids(source, plain, type_)
            if found:
                return list(found)
        if type_ in ("uuid",):
            return list(dict.fromkeys([source.owner.id, *_keys(source, type_)]))[: LIMITS.calls]
        if type_ in ("bigint", "integer"):
            return [*_keys(source, type_), "1"][: LIMITS.calls]
        return [self._generated(plain, type_, source)]

    def _ids(self, tenant: Tenant, name: str, type_: str) -> list[str | None]:
        if "email" in name:
            return [tenant.owner.email]
        users: list[str | None] = []
        if type_ == "uuid" and self._plan.words.person_arguments.matches(name):
            users = [tenant.owner.id]
        found: list[str | None] = []
        for row in tenant.rows.values():
            relation = row.relation
            single = relation.name.removesuffix("s").removesuffix("ie")
            for column in relation.columns:
                if column.type != type_ or row.values.get(column.name) is None:
                    continue
                key = column.name in relation.primary_key
                own = key and name in (f"{single}_id", single, relation.name, f"{single}id")
                own = own or name == f"{single}_{column.name}"
                same = column.name == name != "id" and type_ in _IDS and not users
                if own or same:  # an account may be a row of a table too
                    found.append(row.values[column.name])
        return list(dict.fromkeys([*found, *users]))[:2]

    def _generated(self, name: str, type_: str, tenant: Tenant) -> str | None:
        """A value of a type for an argument that no id fits."""
        is_array = type_.endswith("[]")
        element = type_.removesuffix("[]").rpartition(".")[2]
        column = plain_column(
            name=name,
            type=type_,
            base=_BASES.get(element, element),
            category="A" if is_array else "",
            element=_BASES.get(element, element) if is_array else None,
        )
        token = f"{tenant.token}arg"
        return values.candidates(column, Limits(), token, 7, self._world.now, self._plan.words)[0]

    # -------------------------------------------------------------------------------------------
    # from the body

    def _mentioned(self, function: Function) -> _Mentions:
        """The constants of a body."""
        if function.oid not in self._mentions:
            trees = parse_trees.body_trees(function.language, function.body)
            self._mentions[function.oid] = self._read_body(function, trees)
        return self._mentions[function.oid]

    def _read_body(self, function: Function, trees: Sequence[Any]) -> _Mentions:
        texts = {text for tree in trees for text in parse_trees.literals(tree)}
        words = sorted(text for text in texts if re.fullmatch(r"\w+", text))
        keys: dict[str, None] = {}
        labels: dict[str, list[str]] = {}
        matched: dict[str, list[str]] = {}
        for fields in parse_trees.nodes(trees, "A_Expr"):
            operator = fields["name"][-1]["String"]["sval"]
            left = expressions.value(fields.get("lexpr"))
            right = expressions.value(fields.get("rexpr"))
            if not isinstance(right, expressions.Literal):
                continue
            if operator in _MEMBERS:
                keys.setdefault(right.text)
            elif operator in _MATCHES and (name := _argument(function, left)):
                matched.setdefault(name, []).append(right.text)
        for comparison in expressions.comparisons(trees):
            name = _argument(function, comparison.left)
            if name and isinstance(comparison.right, expressions.Literal):
                labels.setdefault(name, []).append(comparison.right.text)
        casts: dict[str, str] = {}
        for fields in parse_trees.nodes(trees, "TypeCast"):
            name = _argument(function, expressions.value(fields["arg"]))
            type_ = fields["typeName"].get("names", [{}])[-1].get("String", {}).get("sval", "")
            member = fields["arg"].get("A_Expr", {}).get("rexpr")
            key = expressions.value(member)
            if isinstance(key, expressions.Literal):
                casts.setdefault(key.text, type_)
            if name:
                labels.setdefault(name, []).extend(self._labels.get(type_, ()))
        for name, listed in self._written(function, trees):
            labels.setdefault(name, listed)
        of_arguments = {name: list(dict.fromkeys(texts)) for name, texts in labels.items() if texts}
        return _Mentions(
            words=words,
            keys=list(keys) or words,
            casts=casts,
            labels=of_arguments,
            patterns=matched,
        )

    def _written(self, function: Function, trees: Sequence[Any]) -> Iterator[tuple[str, list[str]]]:
        """The arguments that a body writes into columns with few values, with these."""
        tables = self._plan.by_label | {r.name: r for r in self._plan.catalog.tables}

        def columns_of(table: str) -> Sequence[str]:
            return list(tables[table].by_name) if table in tables else []

        inserted = queries.inserted(trees, columns_of)
        for table, column, node in (*inserted, *queries.assigned(trees)):
            name = _argument(function, expressions.value(node))
            closed = self._plan.closed(tables[table]) if name and table in tables else {}
            if column in closed:
                yield name, [*closed[column].values]


def _one_changed(
    first: Sequence[str | None], variants: Sequence[Sequence[str | None]]
) -> Iterator[list[str | None]]:
    """The first values, with one of them replaced by each of its variants."""
    for number, values_ in enumerate(variants):
        for value in values_:
            yield [*first[:number], value, *first[number + 1 :]]


def _argument(function: Function, value: expressions.Value | None) -> str:
    """The name of the argument that a value is, or ''."""
    if not isinstance(value, expressions.Reference) or value.table not in (None, function.name):
        return ""
    return function.argument(value.column)


def _is_id(relation: Relation, column: str) -> bool:
    """Whether a column is the key of its table, or refers to that of another."""
    keys: Iterable[str] = (name for key in relation.foreign_keys for name in key.columns)
    return column in relation.primary_key or column in keys


def _keys(tenant: Tenant, type_: str) -> list[str | None]:
    """The keys of this type of the tenant's rows."""
    return [
        row.values[key[0]]
        for row in tenant.rows.values()
        if len(key := row.relation.primary_key) == 1 and row.relation.by_name[key[0]].type == type_
    ]


def _is_beside(
    chosen: Mapping[int, tuple[Row, str]], secret: Mapping[int, tuple[Row, str]]
) -> bool:
    """Whether the secret of one row is given beside the id of another row of the same table."""
    given = [row for number, (row, _) in chosen.items() if number not in secret]
    known = [row for number, (row, _) in chosen.items() if number in secret]
    return any(
        one is not other and one.relation is other.relation for one in given for other in known
    )


def _as_array(value: str) -> str:
    """An array, or one with this element."""
    return value if value.startswith("{") else "{" + json.dumps(value) + "}"


def _as_record(row: Row) -> str:
    """A row with its ids only: what a caller may know of it."""
    ids = {c.name for c in row.relation.columns if c.base in ("uuid", "int2", "int4", "int8")}
    texts = ((row.values.get(c.name) or "") if c.name in ids else "" for c in row.relation.columns)
    return "(" + ",".join(texts) + ")"
