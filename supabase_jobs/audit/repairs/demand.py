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


@dataclass(frozen=True, eq=False)
class Demand:
    """The edits that close a leak, and the text of the other fixes that it needs, such as a
    comment.

    `owner` is the condition of the edits that limit rows to their owner; by default
    `owner_condition`. `limited` is a function that changes only the rows of a table with this
    condition. `columns` are those that a role may no longer write: the table, the role, the
    privilege and their names; `further` are the same of other roles, and of views by which they are
    written. With a `guard`, a trigger refuses them unless the old row meets this condition, or the
    new one, if it is `of_new_rows`; `path` is its search_path. `bodies` are other bodies of
    functions. `text` changes these `tables` and `called` functions, by their oids, and only these
    `actions`, if they are given. `is_trigger`: it creates a trigger, whose effect only a whole
    trial shows.
    `trusting` are functions that read app_metadata instead of what users write. `asks` says what
    must be done before. `is_new`: it creates a policy that permits what nobody has decided yet.
    `is_of_service`: it drops policies that are for the backend by their names, so that what others
    do by them may end. `acting` are functions that then act with the rights of their callers.
    """

    edits: Sequence[tuple[Relation, Policy, Edit]] = ()
    marks: Sequence[tuple[Relation, Policy, Ended]] = ()
    functions: Sequence[tuple[Function, Ended | Missing]] = ()
    text: str = ""
    owner: str | None = None
    limited: tuple[Function, Relation, str] | None = None
    columns: tuple[Relation, str, str, frozenset[str]] | None = None
    further: Sequence[tuple[Relation, str, str, frozenset[str]]] = ()
    guard: str | None = None
    of_new_rows: bool = False
    path: str = guards.NO_PATH
    bodies: Sequence[tuple[Function, str]] = ()
    tables: frozenset[int] = frozenset()
    called: frozenset[int] = frozenset()
    actions: frozenset[Altered] | None = None
    is_trigger: bool = False
    trusting: Sequence[Function] = ()
    asks: str = ""
    is_new: bool = False
    is_of_service: bool = False
    acting: Sequence[Function] = ()

    @property
    def changed_tables(self) -> frozenset[int]:
        """The oids of the tables and views that it changes."""
        found = {relation.oid for relation, _, _ in (*self.edits, *self.marks)} | self.tables
        return frozenset(found | {relation.oid for relation, *_ in self.granted})

    @property
    def granted(self) -> list[tuple[Relation, str, str, frozenset[str]]]:
        """All columns that roles may no longer write."""
        return [*([] if self.columns is None else [self.columns]), *self.further]

    @property
    def altered(self) -> frozenset[Altered] | None:
        """The actions whose policies and privileges it changes; None if it changes more."""
        if self.redefined or (self.text and self.actions is None):
            return None
        found = set(self.actions or ())
        for relation, policy, _ in (*self.edits, *self.marks):
            found |= altered_by(relation, policy)
        found |= {(relation.oid, privilege.lower()) for relation, _, privilege, _ in self.granted}
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
        found = [*(function for function, _ in self.functions), *self.trusting]
        found += [function for function, _ in self.bodies]
        is_only = not (self.edits or self.marks or self.text or self.columns or self.limited)
        return found[0] if is_only and len({one.oid for one in found}) == 1 else None

    @property
    def asking(self) -> frozenset[str]:
        """The signatures of the functions that it lets ask who is a member where nothing did: what
        outsiders reach of others by that was meant for members, whatever it is.
        """
        return frozenset(f.signature for f, mark in self.functions if isinstance(mark, Missing))

    @property
    def changed_functions(self) -> frozenset[int]:
        """The oids of the functions that it changes."""
        return self.called | self.redefined

    @property
    def redefined(self) -> frozenset[int]:
        """The oids of the functions that it defines again."""
        found = {function.oid for function, _ in self.functions}
        found |= {function.oid for function in self.trusting}
        found |= {function.oid for function, _ in self.bodies}
        return frozenset(found if self.limited is None else found | {self.limited[0].oid})


def edited(relation: Relation, policies: Sequence[Policy], edit: Edit) -> Demand:
    """The same edit of several policies."""
    return Demand(edits=[(relation, policy, edit) for policy in policies])
