"""Tables: what their columns, privileges and policies say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Named
from supabase_jobs.audit.policies.decided_elsewhere import Elsewhere

# the roles of requests that anyone can make
API_USERS = ("anon", "authenticated")


@dataclass(frozen=True, kw_only=True)
class Table(Named):
    """A table. `columns` maps each column to the privileges on it alone, such as "anon SELECT";
    `numbers` are those that hold a number, `addresses` those that are compared with the e-mail
    address of the caller.

    `served_to` are the API roles that reach it. `is_selected`: this audit is about it. `owned`: its
    rows belong to somebody. `per_user`: each user has one row. `has_random_key`: nobody guesses the
    id of a row. `is_group`: it is the group of a
    membership. `has_invitations`: its memberships have to be accepted. `partition_of` is the table
    of a partition, '' if requests do not reach it. `users` are columns that hold users; `claims`
    and `headers` those that are compared with a claim or header. `checked` are columns of users
    that a policy for INSERT compares with the caller; `names_owner`: some policy compares one.
    `accepts_rows`: some policy lets signed-in users insert rows; `updating` are columns of users
    that one for UPDATE compares with the caller. `parents` are the tables to which
    foreign keys refer, `key_columns` their columns. `parts_of` are those of whose rows its rows are
    parts: deleted with them; `locked_by` those that restrictive policies read for INSERT, and none
    for UPDATE. `read_by_policies` are the tables that its
    policies read. `limited`: each policy for SELECT compares rows with their caller, and looks at
    nothing else of a row. `started` are columns with a number that start with a constant,
    `looked_up` those with a random value by which functions find a row.
    `overruled` are the API roles that one policy lets read every row, although another one selects
    rows by their columns. `managed` are columns with a state or a constant at first which functions
    set with the rights of their owner, `acted_on` those by whose value triggers change other
    tables. `frozen` are those that a trigger guards in changed rows only, `reserved` those of them
    that it lets somebody change, `computed` those that one sets in new rows if they do not have a
    value of their own, `loose` those that one guards unless they are null. `guarded` are the
    functions for users that add rows after checks of their own.
    `confidential` are columns whose name or comment says that not everybody may read them who reads
    the row, or functions of the project, which show them on a condition, or demand their value.
    `personal` are columns of persons to whom a policy shows the row, beside one that shows it to
    others. `absent` are the tables in which policies or triggers look, with the rights of the
    caller, for a row that refuses. `is_unconditional`: a policy lets anon insert every row, in the
    state that it demands at most, `is_for_guests`: one for INSERT names anon. `names_rows`: its
    only columns of users refer to a row of theirs, such as a shop. `selecting` maps the API roles
    to their permissive policies for SELECT; one of those of `shown_to` has no condition, and one of
    those of `of_callers` asks who the caller is and nothing about the row.
    `read_for_new` are the tables that a policy for INSERT reads, and none for UPDATE. A request
    that lacks what `without_value` are compared with matches null in them. `uncompared` maps each
    table above that policies for writes read to its columns of persons, if they compare none of
    these; `crossing` each one that they do not read to its column that refers to the same table as
    one of theirs. `following` are the tables above of which a policy for UPDATE or DELETE only asks
    whether the caller reads the row. `untested` maps the API roles to the columns that a policy
    tests in their new rows only, `begun` to those of which each policy demands a value in new rows,
    `later` to those that policies name for changed rows only, `kept`
    to those that one tests in changed rows, and `left` to the values of those that only others set
    and their owner ends, as in policies/tested.py; `chosen` maps the columns that the `persons` in
    a row choose to the commands by which they do, although others change the row by the policies
    `deciders`; `elsewhere` has those at which something else looks, `beside` those that a policy
    lets them change in one step with another one; `ends` are the times of an event that the project
    tests elsewhere, after which they change the row; `required` are the columns of which functions,
    or policies of other tables,
    demand a value that a row has at first; `read_by_triggers` are those that the table's own
    triggers name, `binding` those that policies for writes of other tables name which read this
    one. `logged_by` are the tables whose triggers note their changes in this one, which nothing
    else writes, and `for_all` the permissive policies for all commands. `listed` maps the
    privileges of each GRANT that names columns to these. `stand_ins` maps the column, never null,
    that refers to a membership or to the row of a guest to its table, if it is the only person in a
    row; `compared_stand_ins` has it if policies compare it with the caller.
    """

    schema: str
    name: str
    columns: Mapping[str, Collection[str]]
    numbers: Collection[str]
    addresses: Collection[str]
    granted: Collection[str]
    served_to: Collection[str]
    is_selected: bool
    rls: bool
    is_foreign: bool
    partition_of: str | None
    owned: bool
    per_user: bool
    has_random_key: bool
    is_group: bool
    is_membership: bool
    has_invitations: bool
    accepts_rows: bool
    updating: Collection[str]
    names_owner: bool
    users: Sequence[str]
    claims: Collection[str]
    headers: Collection[str]
    checked: Collection[str]
    parents: Sequence[str]
    parts_of: Sequence[str]
    locked_by: Collection[str]
    key_columns: Collection[str]
    read_by_policies: Collection[str]
    limited: bool
    started: Collection[str]
    mandatory: Collection[str]
    looked_up: Collection[str]
    overruled: Collection[str]
    managed: Collection[str]
    acted_on: Collection[str]
    frozen: Collection[str]
    reserved: Collection[str]
    computed: Collection[str]
    loose: Collection[str]
    guarded: Collection[str]
    confidential: Collection[str]
    personal: Collection[str]
    absent: Sequence[str]
    is_unconditional: bool
    is_for_guests: bool
    names_rows: bool
    selecting: Mapping[str, Sequence[str]]
    of_callers: Collection[str]
    shown_to: Collection[str]
    read_for_new: Sequence[str]
    without_value: Collection[str]
    untested: Mapping[str, Mapping[str, Collection[str]]]
    begun: Mapping[str, Collection[str]]
    later: Mapping[str, Collection[str]]
    kept: Mapping[str, Collection[str]]
    left: Mapping[str, Mapping[str, Sequence[str]]]
    chosen: Mapping[str, Collection[str]]
    persons: Sequence[str]
    deciders: Sequence[str]
    elsewhere: Elsewhere | None
    beside: Collection[str]
    ends: Sequence[str]
    required: Collection[str]
    read_by_triggers: Collection[str]
    binding: Collection[str]
    logged_by: Sequence[str]
    for_all: Sequence[str]
    listed: Mapping[str, Sequence[str]]
    stand_ins: Mapping[str, str]
    compared_stand_ins: Collection[str]
    uncompared: Mapping[str, Collection[str]]
    crossing: Mapping[str, str]
    following: Collection[str]

    @property
    def noun(self) -> str:
        """The rows, as users call them."""
        return "files" if self.is_storage else "rows"

    def may(self, role: str, privilege: str, column: str | None = None) -> bool:
        """Whether a role has a privilege on the table, or on a column."""
        return has_privilege(self.columns, self.granted, f"{role} {privilege}", column)


def has_privilege(
    columns: Mapping[str, Collection[str]], granted: Collection[str], key: str, column: str | None
) -> bool:
    """Whether a role has a privilege, such as "anon SELECT", on a relation or a column of it."""
    if key in granted:
        return True
    if column is not None:
        return key in columns[column]
    return any(key in alone for alone in columns.values())
