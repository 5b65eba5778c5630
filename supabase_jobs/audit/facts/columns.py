"""Columns of a table: what they hold, and what policies, triggers and functions do with them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.policies.decided_elsewhere import Elsewhere


@dataclass(frozen=True, kw_only=True)
class Persons:
    """Columns that say whose a row is.

    `users` hold users; `claims` and `headers` are compared with a claim or header, and `addresses`
    with the e-mail address of the caller. `names_rows`: the only columns of users refer to a row of
    theirs, such as a shop. `accounts` hold the address of the account in the row that each user
    has: sign-up copies it, or no other row may have it. `stand_ins` maps the column, never null,
    that refers to a membership or to the row of a guest to its table, if it is the only person in a
    row.
    """

    users: Sequence[str] = ()
    claims: Collection[str] = ()
    headers: Collection[str] = ()
    addresses: Collection[str] = ()
    names_rows: bool = False
    accounts: Collection[str] = ()
    stand_ins: Mapping[str, str] = field(default_factory=dict)

    @property
    def names_some(self) -> bool:
        """Whether a row names somebody."""
        return bool(self.users or self.claims or self.headers)

    @property
    def identifying_claims(self) -> set[str]:
        """The columns with a claim that is no address, such as that of a group."""
        return {*self.claims} - {*self.addresses}


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Columns that policies compare with the caller.

    `checked` are columns of users that a policy for INSERT compares, `updating` those that one for
    UPDATE does; `names_owner`: some policy compares one. `compared_stand_ins` has the stand-in of a
    person if policies compare it. `personal` are columns of persons to whom a policy shows the row,
    beside one that shows it to others. A request that lacks what `without_value` are compared with
    matches null in them.
    """

    checked: Collection[str] = ()
    updating: Collection[str] = ()
    names_owner: bool = False
    compared_stand_ins: Collection[str] = ()
    personal: Collection[str] = ()
    without_value: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Values:
    """Columns by their values.

    `numbers` hold a number; `started` are those of them that start with a constant, and `from_zero`
    those that start with 0. `flags` are true or false. `mandatory` are never null and have no
    default. `looked_up` are those with a random value by which functions find a row. `confidential`
    are those whose name or comment says that not everybody may read them who reads the row, or
    functions of the project, which show them on a condition, or demand their value.
    """

    numbers: Collection[str] = ()
    started: Collection[str] = ()
    from_zero: Collection[str] = ()
    flags: Collection[str] = ()
    mandatory: Collection[str] = ()
    looked_up: Collection[str] = ()
    confidential: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Code:
    """Columns that triggers and functions set or guard.

    `managed` have a state or a constant at first, and functions set them with the rights of their
    owner; by the value of those `acted_on`, triggers change other tables. `frozen` are those that a
    trigger guards in changed rows only, `reserved` those of them that it lets somebody change,
    `computed` those that one sets in new rows if they do not have a value of their own, `loose`
    those that one guards unless they are null. `read_by_triggers` are those that the table's own
    triggers name. `guarded` are the functions for users that add rows after checks of their own.
    """

    managed: Collection[str] = ()
    acted_on: Collection[str] = ()
    frozen: Collection[str] = ()
    reserved: Collection[str] = ()
    computed: Collection[str] = ()
    loose: Collection[str] = ()
    read_by_triggers: Collection[str] = ()
    guarded: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Tested:
    """Columns that policies test, by the API role, as in policies/tested.py.

    `untested` are those that a policy tests in their new rows only, `begun` those of which each
    policy demands a value in new rows, `later` those that policies name for changed rows only,
    `kept` those that one tests in changed rows, and `left` has the values of those that only others
    set and their owner ends. `beside` are those that a policy lets signed-in users change in one
    step with another one. `required` are those of which functions, or policies of other tables,
    demand a value that a row has at first.
    """

    untested: Mapping[str, Mapping[str, Collection[str]]] = field(default_factory=dict)
    begun: Mapping[str, Collection[str]] = field(default_factory=dict)
    later: Mapping[str, Collection[str]] = field(default_factory=dict)
    kept: Mapping[str, Collection[str]] = field(default_factory=dict)
    left: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    beside: Collection[str] = ()
    required: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Columns about which others decide.

    `chosen` maps those that the `persons` in a row choose to the commands by which they do,
    although others change the row by the policies `deciders`. `elsewhere` has those at which
    something else looks, and `binding` those that policies for writes of other tables name which
    read this one. `ends` are the times of an event that the project tests elsewhere, after which
    the persons change the row. `unbound` maps the columns that say whose a row is to the commands
    for which a policy leaves them free. `waiting` are the states with a default, the times and the
    persons of a new row that may be null, which no policy for new rows names.
    """

    chosen: Mapping[str, Collection[str]] = field(default_factory=dict)
    persons: Sequence[str] = ()
    deciders: Sequence[str] = ()
    elsewhere: Elsewhere | None = None
    binding: Collection[str] = ()
    ends: Sequence[str] = ()
    unbound: Mapping[str, Sequence[str]] = field(default_factory=dict)
    waiting: Sequence[str] = ()
