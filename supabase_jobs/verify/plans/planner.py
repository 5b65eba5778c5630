"""Plan statements with EXPLAIN, as an identity or as the connection's own role, and query the catalogs."""

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
from supabase_jobs.verify.plans.query_plan import QueryPlan

Settings = Mapping[str, str]

_CATALOG = Path(__file__).with_name("catalog")
_EXPLAIN = "explain (verbose, costs off, format json) "
_PROOF = {"constraint_exclusion": "on"}


class NoPlanError(Exception):
    """PostgreSQL cannot plan a statement; the message is the reason."""


class Planner:
    """Plans statements on one connection; `params` are the parameters of declared statements."""

    def __init__(self, session: Impersonation) -> None:
        self._session = session
        self.params = session.params({name: name for name in session.ids})
        self._literals = script.quoted(self.params)

    def plan(
        self, statement: str, identity: Identity | None, settings: Settings, params: Params | None = None
    ) -> QueryPlan:
        """The plan of a statement. Without an identity, the connection's own role plans it.

        With `params` None, a % in the statement is literal. Raises NoPlanError if PostgreSQL rejects the statement or
        a rule replaces it. Raises psycopg's error if the connection's own role lacks a privilege.
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
            # missing privileges of the connection's own role are no property of the database
            own = not ready or (identity is None and isinstance(error, psycopg.errors.InsufficientPrivilege))
            if own or connection.broken:
                raise
            raise NoPlanError(f"{error.sqlstate}: {error.diag.message_primary}") from error
        plans: list[QueryPlan] = [part["Plan"] for part in row[0] if isinstance(part, dict) and "Plan" in part]
        if not plans:
            raise NoPlanError("a rule replaces the statement, and no table is read")
        return plans[-1]  # EXPLAIN lists the statements of DO ALSO rules before the original one

    def proves_empty(self, statement: str) -> bool:
        """Whether the planner proves that a statement returns no row, whatever its tables contain."""
        return query_plan.is_empty(self.plan(statement, None, _PROOF))

    def catalog(self, name: str, *params: Any) -> Sequence[tuple[Any, ...]]:
        """The rows of the query `catalog/<name>.sql`, whose parameters are $1, $2, …."""
        return sql_file(_CATALOG / f"{name}.sql").rows(self._session.connection, *params)

    def catalog_script(self, name: str, objects: Sequence[str]) -> str:
        """The query `catalog/<name>.sql` for these objects, as a script for psql."""
        text = sql_file(_CATALOG / f"{name}.sql").text
        return script.probe((), "", text.replace("$1", script.quoted({"": list(objects)})[""]))

    def script(self, statement: str, identity: Identity | None, settings: Settings, *, declared: bool = False) -> str:
        """The EXPLAIN that `plan` runs, as a script for psql; only `declared` statements have parameters."""
        values = {**settings, **(identity.settings_for(self._session.texts) if identity else {})}
        become = script.identity(identity.role if identity else self._session.own_role, values)
        return script.probe((), become, "explain (verbose) " + statement, self._literals if declared else None)
