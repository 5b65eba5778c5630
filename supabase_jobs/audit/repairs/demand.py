"""Demands: changes that may close a leak, and the edits of policies in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from supabase_jobs.audit.catalog import Function, Policy, Relation
from supabase_jobs.audit.probes.known import Altered, altered_by
from supabase_jobs.audit.repairs import guards
from supabase_jobs.audit.repairs.helpers import Missing
from supabase_jobs.audit.rows.tenants import Ended


class Edit(StrEnum):
    """The change of a policy that a leak demands: drop it, or restrict one of its expressions."""

    DROP = "drop"
    DROP_UNLESS_RESTRICTED = "drop unless restricted"
    OWNER = "owner"
    OWNER_OF_NEW_ROWS = "owner of new rows"
    OWN_FOLDER = "own folder"
    READABLE_PARENT = "readable parent"
    WITHOUT_ALTERNATIVE = "without an alternative"
    APP_METADATA = "app_metadata"
    QUALIFIED = "qualified"


@dataclass(frozen=True)
class Grant:
    """The privilege of a role on columns of a table or view."""

    relation: Relation
    role: str
    privilege: str
    columns: frozenset[str]

    @property
    def place(self) -> tuple[Relation, str, str]:
        """The grant without its columns."""
        return self.relation, self.role, self.privilege


@dataclass(frozen=True)
class Guard:
    """A trigger that refuses new values unless the old row meets a condition, or the new one, if it
    is `of_new_rows`; `path` is its search_path.
    """

    condition: str
    of_new_rows: bool = False
    path: str = guards.NO_PATH


@dataclass(frozen=True)
class Script:
    """SQL that needs nothing of other demands, or the text of a fix, such as a comment. It changes
    these `tables` and `functions`, by their oids, and only these `actions`, if they are given.
    `is_trigger`: it creates a trigger, whose effect only a whole trial shows.
    """

    text: str = ""
    tables: frozenset[int] = frozenset()
    functions: frozenset[int] = frozenset()
    actions: frozenset[Altered] | None = None
    is_trigger: bool = False


@dataclass(frozen=True)
class Definitions:
    """Functions that are defined again: with a condition that they lack, with other `bodies`, as
    `trusting` ones, which read app_metadata instead of what users write, or `limited` to the rows
    of a table with a condition.
    """

    lacking: Sequence[tuple[Function, Ended | Missing]] = ()
    bodies: Sequence[tuple[Function, str]] = ()
    trusting: Sequence[Function] = ()
    limited: Sequence[tuple[Function, Relation, str]] = ()

    @property
    def changed(self) -> frozenset[int]:
        """The oids of the functions."""
        return frozenset(function.oid for function in self.all)

    @property
    def all(self) -> list[Function]:
        """The functions."""
        found = [*(function for function, _ in self.lacking), *self.trusting]
        found += [function for function, _ in self.bodies]
        return [*found, *(function for function, *_ in self.limited)]


@dataclass(frozen=True, eq=False)
class Demand:
    """The edits that close a leak, and the other changes that it needs.

    `owner` is the condition of the edits that limit rows to their owner; by default
    `owner_condition`. `grants` are the privileges that roles lose, that of the leak first, then the
    same of other roles, and of views by which they write the columns. With a `guard`, a trigger
    refuses the first instead. `definitions` are functions that it defines again, and `script` is
    SQL of its own. `asks` says what must be done before. `is_new`: it creates a policy that permits
    what nobody has decided yet. `is_of_service`: it drops policies that are for the backend by
    their names, so that what others do by them may end. `acting` are functions that then act with
    the rights of their callers. `defaults` are the columns of a table whose defaults own new rows
    then have.
    """

    edits: Sequence[tuple[Relation, Policy, Edit]] = ()
    marks: Sequence[tuple[Relation, Policy, Ended]] = ()
    owner: str | None = None
    grants: Sequence[Grant] = ()
    guard: Guard | None = None
    definitions: Definitions = Definitions()
    script: Script = Script()
    asks: str = ""
    is_new: bool = False
    is_of_service: bool = False
    acting: Sequence[Function] = ()
    defaults: tuple[Relation, frozenset[str]] | None = None

    @property
    def changed_tables(self) -> frozenset[int]:
        """The oids of the tables and views that it changes."""
        found = {relation.oid for relation, _, _ in (*self.edits, *self.marks)}
        return frozenset(found | {one.relation.oid for one in self.grants} | self.script.tables)

    @property
    def altered(self) -> frozenset[Altered] | None:
        """The actions whose policies and privileges it changes; None if it changes more."""
        if self.definitions.changed or (self.script.text and self.script.actions is None):
            return None
        found = set(self.script.actions or ())
        for relation, policy, _ in (*self.edits, *self.marks):
            found |= altered_by(relation, policy)
        found |= {(one.relation.oid, one.privilege.lower()) for one in self.grants}
        return frozenset(found)

    def changes_policies_of(self, other: "Demand") -> bool:
        """Whether both change a policy, so that its statement has the edits of both."""
        return bool(self._policies & other._policies)

    @property
    def _policies(self) -> frozenset[tuple[int, str]]:
        return frozenset((r.oid, policy.name) for r, policy, _ in (*self.edits, *self.marks))

    @property
    def mended(self) -> Function | None:
        """The function that it defines again, if it changes nothing else: the cause of a leak."""
        is_more = self.edits or self.marks or self.script.text or self.grants
        if is_more or self.definitions.limited or len(self.definitions.changed) != 1:
            return None
        return self.definitions.all[0]

    @property
    def asking(self) -> frozenset[str]:
        """The signatures of the functions that it lets ask who is a member where nothing did: what
        outsiders reach of others by that was meant for members, whatever it is.
        """
        return frozenset(
            f.signature for f, mark in self.definitions.lacking if isinstance(mark, Missing)
        )

    @property
    def changed_functions(self) -> frozenset[int]:
        """The oids of the functions that it changes."""
        return self.script.functions | self.definitions.changed


def edited(relation: Relation, policies: Sequence[Policy], edit: Edit) -> Demand:
    """The same edit of several policies."""
    return Demand(edits=[(relation, policy, edit) for policy in policies])
