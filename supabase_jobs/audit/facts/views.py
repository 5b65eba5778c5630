"""Views, and what callers try on them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.catalog import Named
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.facts.answers import Said
from supabase_jobs.audit.facts.tables import has_privilege


@dataclass(frozen=True, kw_only=True)
class View(Named):
    """A view. `columns` and `granted` are like those of a table; `links` are the columns that refer
    to another row, or name the person of one. `selects`: it shows rows of which a flag, a state or
    a public name says so.
    """

    schema: str
    name: str
    is_materialized: bool
    is_invoker: bool
    columns: Mapping[str, Collection[str]]
    granted: Collection[str]
    links: Sequence[str]
    selects: bool

    def may(self, role: str, privilege: str, column: str) -> bool:
        """Whether a role has a privilege on a column."""
        return has_privilege(self.columns, self.granted, f"{role} {privilege}", column)


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewTried:
    """An action on a view. `changed` are the tables of the rows that it changes although they
    refuse that. `is_own`: the caller's own row of auth.users. `in_state`: it shows a row in a state
    in which the table refuses it to the caller, who reads it in another one; `state` names it.
    """

    actor: Actor
    view: View
    action: str
    said: Said
    changed: Sequence[str] = ()
    is_own: bool = False
    in_state: bool = False
    state: str = ""

    @property
    def object(self) -> str:
        """The view, as findings print it."""
        return self.view.label
