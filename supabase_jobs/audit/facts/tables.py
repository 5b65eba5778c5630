"""Tables: whose their rows are, where they belong, and what their policies say."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.catalog import Named
from supabase_jobs.audit.facts.columns import Code, Compared, Decided, Persons, Tested, Values
from supabase_jobs.audit.policies.visitors import Shown

# the roles of requests that anyone can make
API_USERS = ("anon", "authenticated")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of a table, and whose they are.

    `owned`: they belong to somebody. `per_user`: each user has one, `per_group`: each group.
    `has_random_key`: nobody guesses the id of one. `is_group`: the table is the group of a
    membership. `has_invitations`:
    its memberships have to be accepted. `logged_by` are the tables whose triggers note their
    changes in this one, which nothing else writes.
    """

    owned: bool
    per_user: bool = False
    per_group: bool = False
    has_random_key: bool = False
    is_group: bool = False
    is_membership: bool = False
    has_invitations: bool = False
    logged_by: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Above:
    """The tables to which the rows of a table refer, and what its policies ask about them.

    `parents` are these tables, `key_columns` the columns of the foreign keys. `parts_of` are those
    of whose rows its rows are parts: deleted with them. `locked_by` are those that restrictive
    policies read for INSERT, and none for UPDATE, `read_for_new` those that a policy for INSERT
    reads, and none for UPDATE. `uncompared` maps each one that policies for writes read to its
    columns of persons, if they compare none of these; `crossing` each one that they do not read to
    its column that refers to the same table as one of theirs. `following` are those of which a
    policy for UPDATE or DELETE only asks whether the caller reads the row.
    """

    parents: Sequence[str] = ()
    parts_of: Sequence[str] = ()
    key_columns: Collection[str] = ()
    locked_by: Collection[str] = ()
    read_for_new: Sequence[str] = ()
    uncompared: Mapping[str, Collection[str]] = field(default_factory=dict)
    crossing: Mapping[str, str] = field(default_factory=dict)
    following: Collection[str] = ()


@dataclass(frozen=True, kw_only=True)
class Policies:
    """The policies of a table.

    `selecting` maps the API roles to their permissive policies for SELECT; one of those of
    `shown_to` has no condition, one of those of `of_callers` asks who the caller is and nothing
    about the row, and those of `overruled` may read every row by one, although another one selects
    rows by their columns. Of the roles in `changed_by` one for UPDATE has no condition. `limited`:
    each policy for SELECT compares rows with their caller, and looks at nothing else of a row, nor
    at a state of the row above. `visitors` are the rows that some show to anon by name, and not to
    who has signed in. `for_all` are the permissive policies for all commands.
    `accepts_rows`: some policy lets signed-in users insert rows. `is_unconditional`: one lets anon
    insert every row, in the state that it demands at most, `is_for_guests`: one for INSERT names
    anon. `read_by_policies` are the tables that the policies read, `absent` those in which they or
    triggers look, with the rights of the caller, for a row that refuses.
    """

    selecting: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shown_to: Collection[str] = ()
    of_callers: Collection[str] = ()
    overruled: Collection[str] = ()
    changed_by: Collection[str] = ()
    limited: bool = False
    visitors: Shown = Shown.NONE
    for_all: Sequence[str] = ()
    accepts_rows: bool
    is_unconditional: bool = False
    is_for_guests: bool = False
    read_by_policies: Collection[str] = ()
    absent: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Table(Named):
    """A table. `columns` maps each column to the privileges on it alone, such as "anon SELECT", and
    `listed` the privileges of each GRANT that names columns to these.

    `served_to` are the API roles that reach it. `is_selected`: this audit is about it.
    `partition_of` is the table of a partition, '' if requests do not reach it.
    """

    schema: str
    name: str
    columns: Mapping[str, Collection[str]]
    granted: Collection[str]
    listed: Mapping[str, Sequence[str]]
    served_to: Collection[str]
    is_selected: bool
    rls: bool
    is_foreign: bool
    partition_of: str | None
    rows: Rows
    above: Above
    policies: Policies
    persons: Persons
    compared: Compared
    values: Values
    code: Code
    tested: Tested
    decided: Decided

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
