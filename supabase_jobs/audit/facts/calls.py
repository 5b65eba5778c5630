"""Calls of functions: what callers pass, and what happens to rows that the tables refuse them."""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.answers import Said
from supabase_jobs.audit.facts.functions import Function


@dataclass(frozen=True, kw_only=True)
class Given:
    """The arguments of a call, and whom they name.

    `arguments` are equal for calls with the same ones. `is_general`: no argument identifies a row,
    `names_others`: an id of a row that is refused to the caller is among them. `is_pair`: they
    identify rows of the caller, too, and none of the rows belongs to another one than that which
    they identify. `texts` are the arguments that got a text, `nulls` those that got NULL; `by_null`
    is the one that finds a row without a value by it. `named` is the column of the row in which its
    owner has named the caller.
    """

    arguments: str = ""
    is_general: bool = False
    names_others: bool = False
    is_pair: bool = False
    texts: Sequence[str] = ()
    nulls: Sequence[str] = ()
    by_null: str = ""
    named: str = ""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """The tables of the rows that a call changes or opens although they refuse that.

    `recounted` are those of rows that the caller may read, in which it changes only numbers;
    `forged` those to which it adds rows in another's name, `addressed` those to which it adds rows
    for another, who may be a receiver; `joined` the memberships of whose group it makes somebody a
    member, and `added` others to which it adds rows. `below` are those of rows to which it gives
    another parent, and `opened` those of rows that the caller reads afterwards.
    """

    changed: Sequence[str] = ()
    recounted: Sequence[str] = ()
    forged: Sequence[str] = ()
    addressed: Sequence[str] = ()
    joined: Sequence[str] = ()
    added: Sequence[str] = ()
    below: Sequence[str] = ()
    opened: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the row has `ended` that a call finds by a secret; '' if it has not.

    `ended_column` is the column that says so, and `remedy` which rows the function must ignore.
    `is_of_above`: not that row has ended, but one to which it refers. `is_own`: the row is one of
    the caller, found without a secret. `writes`: such a call writes rows.
    """

    ended: str = ""
    ended_column: str = ""
    remedy: str = ""
    is_of_above: bool = False
    is_own: bool = False
    writes: bool = False


@dataclass(frozen=True, kw_only=True)
class Bearer:
    """Whose the row is whose secret a call gets.

    `addressee` is the column in which the row names somebody else; `is_asked_elsewhere`: a policy
    or another function compares it with the caller. `across` is the table of memberships if the row
    belongs to another group than the caller. `regained` are the tables of rows that a caller
    without access to the group reads after the call.
    """

    addressee: str = ""
    is_asked_elsewhere: bool = False
    across: str = ""
    regained: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Numbers of the caller that a call raises.

    `raised` are the columns of its own rows whose number is larger after a call with a negative
    number, `free` those of them that the tables let it change. `repeated` are those that a second
    call raises, too, although the first has marked its row, and `added_again` the tables to which
    both add rows.
    """

    raised: Sequence[str] = ()
    free: Sequence[str] = ()
    repeated: Sequence[str] = ()
    added_again: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Injected:
    """Whether SQL in an argument ran. `runs_statement`: a whole statement."""

    runs_sql: bool = False
    runs_statement: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Called:
    """A call of a function. `sqlstate` is that of its error, '' without one.

    `touched` are the tables that the function names and whose rows are refused to the caller,
    `unread` the columns of these with a state that other code of the project tests, and this
    function does not.
    """

    actor: Actor
    function: Function
    said: Said
    sqlstate: str = ""
    touched: Sequence[str] = ()
    unread: Sequence[str] = ()
    given: Given = Given()
    effects: Effects = Effects()
    ending: Ending = Ending()
    bearer: Bearer = Bearer()
    numbers: Numbers = Numbers()
    injected: Injected = Injected()

    @property
    def object(self) -> str:
        """The function, as findings print it."""
        return self.function.signature
