"""The uses of columns in policies and functions, by what uses them; usage/ reads them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TypeVar

from supabase_jobs.audit.catalog import Column, Relation
from supabase_jobs.audit.policies import expressions
from supabase_jobs.audit.policies.paths import Path

# (oid of the table, column)
ColumnKey = tuple[int, str]
# a column, an operator, and the constant with which it compares, None for the time of the request
Condition = tuple[ColumnKey, str, str | None]

_Item = TypeVar("_Item", str, ColumnKey, Path)


@dataclass
class Moment:
    """The distances from now behind which, and before which, a time is to be."""

    behind: list[timedelta] = field(default_factory=list)
    before: list[timedelta] = field(default_factory=list)

    def distance(self, step: timedelta) -> timedelta:
        """A distance between these, or a step from the only one."""
        if self.behind and self.before:
            return (max(self.behind) + min(self.before)) / 2
        return max(self.behind) + step if self.behind else min(self.before) - step


@dataclass
class Persons:
    """Columns that hold persons.

    `users` hold a user's id, `checked` are those that a policy for INSERT compares with the caller,
    `updating` those that one for UPDATE compares in the old row. `owners` are those that any policy
    of their own table compares with the caller, `compared` those that any policy or function does.
    """

    users: set[ColumnKey] = field(default_factory=set)
    checked: set[ColumnKey] = field(default_factory=set)
    updating: set[ColumnKey] = field(default_factory=set)
    owners: set[ColumnKey] = field(default_factory=set)
    compared: set[ColumnKey] = field(default_factory=set)


@dataclass
class RequestValues:
    """Values of a request, and the columns that are compared with them.

    `claims` and `headers` map each claim and header to these columns, `claim_literals` and
    `header_literals` to the constants. `preferred` maps each claim to those that COALESCE takes
    before it; of the `present_claims`, only the presence is asked for. `hashing` maps columns that
    hold a hash of a header to the functions, as in `Header`. `operations` are the operations of
    Storage with which that of the request is compared. `without_value` are the columns that are
    compared with a value by IS NOT DISTINCT FROM: a request without it matches null.
    """

    claims: dict[tuple[str, ...], set[ColumnKey]] = field(default_factory=dict)
    preferred: dict[tuple[str, ...], set[tuple[str, ...]]] = field(default_factory=dict)
    claim_literals: dict[tuple[str, ...], list[str]] = field(default_factory=dict)
    present_claims: set[tuple[str, ...]] = field(default_factory=set)
    headers: dict[str, set[ColumnKey]] = field(default_factory=dict)
    hashing: dict[ColumnKey, tuple[expressions.HashStep, ...]] = field(default_factory=dict)
    header_literals: dict[str, list[str]] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)
    without_value: set[ColumnKey] = field(default_factory=set)


@dataclass
class Constants:
    """Constants that columns are compared with.

    `literals` maps columns to these, `selected` to those that only the result of a function is
    compared with, `equal` to those that a condition demands, and `inserted` to those that functions
    insert, such as the role of who founds a group. `ascending` are those with an enum whose later
    labels have the rights of the labels before them: role >= 'editor'.
    """

    literals: dict[ColumnKey, list[str]] = field(default_factory=dict)
    selected: dict[ColumnKey, list[str]] = field(default_factory=dict)
    equal: dict[ColumnKey, list[str]] = field(default_factory=dict)
    inserted: dict[ColumnKey, list[str]] = field(default_factory=dict)
    ascending: set[ColumnKey] = field(default_factory=set)


@dataclass
class Mentions:
    """Names in policies and functions.

    `words` are all their words, so a column that is not among them cannot change an access.
    `mentioned` are the columns whose names policies contain that read their table, or functions
    that these call; `together` maps each of them to those that a policy mentions with it. `nulls`
    are the columns that a policy or function tests with IS NULL, such as `accepted_at` of an
    invitation, and `presences` those that one tests with IS NOT NULL, such as `released_at` of a
    document.
    """

    words: set[str] = field(default_factory=set)
    mentioned: set[ColumnKey] = field(default_factory=set)
    together: dict[ColumnKey, set[ColumnKey]] = field(default_factory=dict)
    nulls: set[ColumnKey] = field(default_factory=set)
    presences: set[ColumnKey] = field(default_factory=set)


@dataclass
class PolicyUses:
    """The uses by policies and definitions of views, of this database only.

    `through` maps the columns that a policy of their table compares with the caller's own row of
    the table to which they refer to the commands of such policies. `policy_functions` maps each
    policy of a table to the signatures of the project's functions that it calls. `write_words` maps
    each relation to the words of its policies for writes, and of the functions that these call,
    `absent` to the tables in which its policies, or its triggers with the rights of the caller,
    look for a row that refuses. `selecting` maps each view to the conditions by which it selects
    rows.
    """

    through: dict[ColumnKey, set[str]] = field(default_factory=dict)
    policy_functions: dict[tuple[int, str], list[str]] = field(default_factory=dict)
    write_words: dict[int, set[str]] = field(default_factory=dict)
    absent: dict[int, set[int]] = field(default_factory=dict)
    selecting: dict[int, list[Condition]] = field(default_factory=dict)


@dataclass
class BodyUses:
    """The uses by the bodies of functions, of this database only.

    `function_reads` maps each function to the tables that its body names, directly or by other
    functions, `callees` each view and function to the oids of those that it calls. `arguments` maps
    (function, name of an argument) to the columns that the body compares with it, directly or by
    other functions, and to those by which a row that it inserts or updates refers to another;
    `null_arguments` to the column of which NULL, as the argument, finds the rows without a value.
    `adds` maps each function to the tables that its body inserts into, `sets` to the columns that
    it updates, and `copied` maps columns to those to which a function copies them. `charging` are
    the functions that take from a number in a row of their caller, as from the balance of a buyer.
    `user_functions` name auth.users, directly or by other functions.
    """

    function_reads: dict[int, set[int]] = field(default_factory=dict)
    callees: dict[int, set[int]] = field(default_factory=dict)
    arguments: dict[tuple[int, str], list[ColumnKey]] = field(default_factory=dict)
    null_arguments: dict[tuple[int, str], ColumnKey] = field(default_factory=dict)
    adds: dict[int, set[int]] = field(default_factory=dict)
    sets: dict[int, set[ColumnKey]] = field(default_factory=dict)
    copied: dict[ColumnKey, set[ColumnKey]] = field(default_factory=dict)
    charging: set[int] = field(default_factory=set)
    user_functions: set[int] = field(default_factory=set)


@dataclass
class BodyConditions:
    """The conditions in the bodies of functions, of this database only.

    `asking` are the functions that name their caller, `loosely` those whose guard refuses one by <>
    only, so that it lets who has no role pass. `demands` maps each function to the columns that its
    queries compare with a constant or NULL, and to that; `own` to the columns that its queries
    compare with the caller's id or a claim, such as the e-mail address, `later` and `earlier` to
    those that they demand to be behind or before now (or set), `moments` to how far from now they
    demand these to be, `capacities` to those with which it compares a number of rows, such as that
    of the seats, and `tested` to the names of all columns in its conditions.
    """

    asking: set[int] = field(default_factory=set)
    loosely: set[int] = field(default_factory=set)
    demands: dict[int, dict[ColumnKey, str | None]] = field(default_factory=dict)
    own: dict[int, set[ColumnKey]] = field(default_factory=dict)
    later: dict[int, set[ColumnKey]] = field(default_factory=dict)
    earlier: dict[int, set[ColumnKey]] = field(default_factory=dict)
    moments: dict[int, dict[ColumnKey, Moment]] = field(default_factory=dict)
    capacities: dict[int, set[ColumnKey]] = field(default_factory=dict)
    tested: dict[int, set[str]] = field(default_factory=dict)


@dataclass
class TriggerUses:
    """The uses by triggers, of this database only.

    `acted_on` maps columns to the triggers of their table with the rights of their owner that
    change other tables on a condition about them. `frozen` are those that a trigger guards in
    changed rows only, `reserved` those of them whose trigger asks for the caller, so that somebody
    else may change them. `computed` are those that one sets in new rows if they do not have a value
    of their own, `given` all that one sets in new rows, `loose` those that one guards unless they
    are null. `addresses` are those to which one on auth.users copies the address of the account.
    """

    acted_on: dict[ColumnKey, list[str]] = field(default_factory=dict)
    frozen: set[ColumnKey] = field(default_factory=set)
    reserved: set[ColumnKey] = field(default_factory=set)
    computed: set[ColumnKey] = field(default_factory=set)
    given: set[ColumnKey] = field(default_factory=set)
    loose: set[ColumnKey] = field(default_factory=set)
    addresses: set[ColumnKey] = field(default_factory=set)


@dataclass
class Secrets:
    """Columns whose value is a right, in the functions of this database only.

    `proofs` are those whose value the caller of a function has to know, besides the key of the row,
    such as the PIN of a person; `masked` those that a function shows on a condition only, or to
    fewer persons than the table, and those that refer to a row of which it does so. `bearers` are
    the texts, unique in their table, by which a function finds a row until a time: whoever has the
    text of a link or an invitation may use it.
    """

    proofs: set[ColumnKey] = field(default_factory=set)
    masked: set[ColumnKey] = field(default_factory=set)
    bearers: set[ColumnKey] = field(default_factory=set)


@dataclass
class Usage:
    """The findings about the columns of a catalog.

    `reads` maps each relation to the tables that its policies, functions or view definition read,
    directly or not. `equated` maps columns to those of the same meaning: conditions demand that
    both are equal, directly, or by what a function compares its argument with or returns. `paths`
    are those by which policies find their caller.
    """

    persons: Persons = field(default_factory=Persons)
    request: RequestValues = field(default_factory=RequestValues)
    constants: Constants = field(default_factory=Constants)
    mentions: Mentions = field(default_factory=Mentions)
    policies: PolicyUses = field(default_factory=PolicyUses)
    bodies: BodyUses = field(default_factory=BodyUses)
    conditions: BodyConditions = field(default_factory=BodyConditions)
    triggers: TriggerUses = field(default_factory=TriggerUses)
    secrets: Secrets = field(default_factory=Secrets)
    reads: dict[int, set[int]] = field(default_factory=dict)
    equated: dict[ColumnKey, set[ColumnKey]] = field(default_factory=dict)
    paths: list[Path] = field(default_factory=list)

    @cached_property
    def claim_columns(self) -> Mapping[ColumnKey, tuple[str, ...]]:
        """Column → the claim that it is compared with."""
        return {key: path for path, keys in self.request.claims.items() for key in keys}

    @cached_property
    def header_columns(self) -> Mapping[ColumnKey, str]:
        """Column → the header that it is compared with."""
        return {key: name for name, keys in self.request.headers.items() for key in keys}

    def compared_directly(self, relation: Relation, column: Column) -> set[str]:
        """The constants that a column is compared with, without those that only the result of a
        function is compared with.
        """
        key = relation.oid, column.name
        return set(self.constants.literals.get(key, ())) - set(self.constants.selected.get(key, ()))

    @cached_property
    def looked_up(self) -> frozenset[ColumnKey]:
        """The columns that functions compare with an argument."""
        return frozenset(key for keys in self.bodies.arguments.values() for key in keys)

    def of_header(self, key: ColumnKey, text: str) -> str:
        """The value of a column that is compared with a header of this value."""
        return expressions.hashed(text, self.request.hashing.get(key, ()))


def extend(known: list[_Item], more: Iterable[_Item]) -> None:
    """Add those that a list lacks."""
    known += [one for one in more if one not in known]
