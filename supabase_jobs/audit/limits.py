"""How much an audit tries: all limits in one value. docs/audit-reference.md lists them."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AuditLimits:
    """Counts, if no unit is given. A larger one finds more and takes longer."""

    # seconds for the probes; what was not tried is not tested
    seconds: int = 300

    # rounds in which other values are tried for a row that the database rejects
    insert_rounds: int = 4
    # rows with other values in one round
    insert_variants: int = 32
    # columns that an error may be about, whose values are combined
    combined_columns: int = 4
    # values of each of them
    combined_values: int = 6
    # combinations of them
    combinations: int = 40

    # states of a row that differ in one column
    states: int = 3
    # roles in the row that each user has, besides these states
    further_roles: int = 2
    # states that differ in several columns that one policy mentions
    combined_states: int = 4
    # states of a row above it, such as an archived group
    states_above: int = 8
    # rows of a table below one another, such as folders, and below one in a state
    depth: int = 3
    # states of its own and of a row above it
    states_of_both: int = 4
    # rows that belong to two users
    sides: int = 6
    # states of a group, tried for each of its members
    states_of_group: int = 3
    # users whose own row is in another state
    further_users: int = 8
    # roles that a user has in another group, besides the first one
    roles_elsewhere: int = 2
    # members in other states of their membership, for each table of memberships
    standings: int = 6
    # users with a role on the whole project, each in another state
    posts: int = 9
    # users who sign up with metadata of their choice
    impostors: int = 4
    # days between now and a time on its other side
    days: int = 2
    # folders of Storage
    folders: int = 4
    # values of a table that a policy looks a role or claim up in
    looked_up: int = 4
    # columns by which a user reaches rows of others, other than memberships
    links: int = 6
    # tables that list other groups for rows of a group
    listings: int = 2
    # alternatives of a policy, and of a condition by which it finds its caller
    alternatives: int = 12
    # helpers that call one another, in such a condition
    calls_within: int = 4
    # users who are made for alternatives that nobody else satisfies
    solved: int = 8
    # the same with a row in a state that other policies do not accept
    solved_ended: int = 6
    # least characters by which a text identifies a row
    identifying_text: int = 16
    # the same, of a unique column
    identifying_unique_text: int = 8

    # values that an update tries in one column
    values: int = 6
    # values of a column in new rows
    chosen: int = 3
    # columns of a table with triggers or CHECKs that are tried without a policy
    controls: int = 16
    # attempts for which an identity is set once
    attempts_in_batch: int = 100
    # columns of a view that are updated, one at a time
    view_columns: int = 4
    # combinations of arguments that a function is called with
    calls: int = 6
    # all calls of a function by a caller, other values for special arguments included
    calls_in_all: int = 16
    # calls with one argument of another's and the others of one's own
    mixed_calls: int = 3
    # calls for which an identity is set, and other worlds are made, once
    calls_in_batch: int = 50
    # topics of private channels
    topics: int = 24
    # foreign keys by which a committed row is recognized as one of an audit
    marking_depth: int = 3
    # recorded attempts that are repeated in one round trip
    replayed_in_batch: int = 200

    # least tables by which a condition about the caller is one of two
    guarding_tables: int = 2
    # least functions by which a helper is what all of them ask
    asking: int = 3
    # the same, of those that ask it beside another one
    asking_beside: int = 2
    # least texts that a function refuses, for NULL to be all that it lets pass
    refused_texts: int = 3

    # changes that are tried as the repair of a leak
    candidates: int = 12
    # columns that name the owner of a row, of which a repair is tried with each one alone
    ways: int = 6
    # conditions of a policy that each suffice, of which a repair is tried with each one alone
    paths: int = 8
    # seconds for all trials of repairs
    repair_seconds: int = 120

    # objects that a sentence names
    named: int = 3
    # columns in a question about what a guard asks for
    guarding: int = 6


LIMITS = AuditLimits()


def some(names: Sequence[str], most: int = LIMITS.named) -> str:
    """The first names, and how many follow."""
    first = ", ".join(names[:most])
    return first if len(names) <= most else f"{first} and {len(names) - most} more"
