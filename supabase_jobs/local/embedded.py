"""Recognise an embedded server by a setting of the server itself, not by its address."""

from typing import Any

import psycopg

from supabase_jobs.database.conninfo import connected_address

# `cluster_name` can be set only when a server starts: no role, database, session or connection
# string can claim it. A server that is started with another name counts as one that is in use.
MARKER = "supabase-jobs embedded"

CLUSTER_NAME = "select pg_catalog.current_setting('cluster_name')"


def is_embedded(connection: psycopg.Connection[Any], cluster_name: str | None = None) -> bool:
    """Whether the connection leads to an embedded server, on which no lock or load disturbs anyone.

    A forwarded port (a tunnel) and the containers of the Supabase CLI are on this machine, but are
    not embedded servers. One round trip, for addresses of this machine only; none if the caller has
    read `cluster_name` with something else.
    """
    if not connected_address(connection).is_local:  # an embedded server listens on 127.0.0.1 only
        return False
    if cluster_name is not None:
        return cluster_name == MARKER
    row = connection.execute(CLUSTER_NAME).fetchone()
    return row is not None and row[0] == MARKER
