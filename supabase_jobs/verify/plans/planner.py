"""Ask PostgreSQL's planner, as an identity or as the connection's own role, and run nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from supabase_jobs.database.errors import INCONCLUSIVE_ERRORS
from supabase_jobs.database.sql_files import sql_file
from supabase_jobs.verify import impersonation, script
from supabase_jobs.verify.identity import Identity
from supabase_jobs.verify.impersonation import SET, Impersonation, Params
from supabase_jobs.verify.plans import query_plan
from supabase_jobs.verify.plans.query_plan import Plan

Settings = Mapping[str, str]

_QUESTIONS = Path(__file__).with_name("catalog")
_EXPLAIN = "explain (verbose, costs off, format json) "
_PROOF = {"constraint_exclusion": "on"}


class NoPlanError(Exception):
    """The planner refuses a statement; the message is why."""


class Planner:
    """Plans of one session; `params` are what the declared statements are given."""

    def __init__(self, session: Impersonation) -> None:
        self._session = session
        self.params = session.params({name: name for name in session.ids})
        self._literals = script.quoted(self.params)

    def plan(self, statement: str, identity: Identity | None, settings: Settings, params: Params | None = None) -> Plan:
        """The plan of a statement as an identity, or as the connection's own role; a % is one where `params` is None.

        Raises NoPlanError where PostgreSQL refuses the statement or a rule replaces it, and psycopg's errors where the
        role may not ask.
        """
        connection = self._session.connection
        ready = False
        try:
            with connection.transaction(force_rollback=True):
                with connection.pipeline():
                    for setting in settings.items():
                        connection.execute(SET, setting)
                if identity is not None:
                    impersonation.set_identity(self._session, identity)
                ready = True
                row = impersonation.one(connection.execute((_EXPLAIN + statement).encode(), params))
        except INCONCLUSIVE_ERRORS:
            raise
        except psycopg.Error as error:
            # what the connection's own role may not do says nothing about the database
            own = not ready or (identity is None and isinstance(error, psycopg.errors.InsufficientPrivilege))
            if own or connection.broken:
                raise
            raise NoPlanError(f"{error.sqlstate}: {error.diag.message_primary}") from error
        plans: list[Plan] = [part["Plan"] for part in row[0] if isinstance(part, dict) and "Plan" in part]
        if not plans:
            raise NoPlanError("a rule puts nothing that reads a table in its place")
        return plans[-1]  # a rule that does something besides comes before what was asked

    def proves(self, statement: str) -> bool:
        """Whether the planner proves that a statement has no row, whatever is in its tables."""
        return query_plan.is_empty(self.plan(statement, None, _PROOF))

    def ask(self, question: str, *params: Any) -> Sequence[tuple[Any, ...]]:
        """The answer to one of the files in `planner/`, whose parameters are $1, $2."""
        return sql_file(_QUESTIONS / f"{question}.sql").rows(self._session.connection, *params)

    def question(self, question: str, names: Sequence[str]) -> str:
        """One of these files about `names`, to paste into psql."""
        text = sql_file(_QUESTIONS / f"{question}.sql").text
        return script.probe((), "", text.replace("$1", script.quoted({"": list(names)})[""]))

    def script(self, statement: str, identity: Identity | None, settings: Settings, *, declared: bool = False) -> str:
        """The same as `plan`, to paste into psql; `declared` statements have parameters."""
        made = {**settings, **(identity.settings_for(self._session.texts) if identity else {})}
        become = script.identity(identity.role if identity else self._session.own_role, made)
        return script.probe((), become, "explain (verbose) " + statement, self._literals if declared else None)
