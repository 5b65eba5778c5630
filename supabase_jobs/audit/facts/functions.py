"""Functions that a request can call: what their bodies do, and whom they ask."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Guard:
    """The questions of a body before it does something.

    `asks`: it names the caller, `is_loose`: it refuses one by <> only, which is not true of NULL.
    `secrets` are the arguments that hold a secret, `loose` those that it compares by <> only.
    `untied` are the tables of rows that it finds by an id, and that nothing ties to the one that it
    finds by a secret.
    """

    asks: bool = True
    is_loose: bool = False
    secrets: Sequence[str] = ()
    loose: Sequence[str] = ()
    untied: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of a function. `returns` are the columns, None for whole rows of a table;
    `is_aggregate`: aggregates only, `is_yes_or_no`: one boolean. `hands_out` are columns with a
    secret.
    """

    returns: Sequence[str] | None = None
    is_aggregate: bool = False
    is_yes_or_no: bool = False
    hands_out: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """The writes of a body. `sets` are the columns that it updates; `alters`: it does, or adds rows
    to a table of which it finds one. `charges`: it takes from a number in a row of the caller.
    """

    sets: Sequence[str] = ()
    alters: bool = False
    charges: bool = False


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function. `is_helper`: a policy calls it, so those whom the policy limits may call it, too.
    `about` are the tables of the rows whose ids are its arguments, None if one is neither such an
    id nor a text that says nothing about a person. `of_persons` are the arguments that are the id
    of a person.
    """

    signature: str
    is_definer: bool
    is_helper: bool = False
    about: Sequence[str] | None = None
    of_persons: Sequence[str] = ()
    guard: Guard = Guard()
    result: Result = Result()
    changes: Changes = Changes()


@dataclass(frozen=True, kw_only=True)
class Unpassed:
    """A function with the rights of its owner that no call got through. `is_open`: also for
    requests without a user. `asks_for` are the columns in its conditions, `unread` those with a
    state, a time or a number, of the rows that it finds, that are in none of them; `changes` are
    the columns and tables that it writes.
    """

    function: str
    is_open: bool
    asks_for: Sequence[str] = ()
    unread: Sequence[str] = ()
    changes: Sequence[str] = ()
