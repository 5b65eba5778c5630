"""Limits of the open transaction: the smaller of ours and of those that the user has set."""

import json
from pathlib import Path

from supabase_jobs.database.batch import Statement
from supabase_jobs.database.sql_files import sql_file

# A client that is stopped or cut off keeps its locks for this long at most.
ABANDONED_MS = 8_000
CHECK_CLIENT_MS = 2_000

_LIMITS = sql_file(Path(__file__).with_name("time_limits.sql"))


def time_limits(**milliseconds: int) -> Statement:
    """The statement that limits the open transaction, by the names of PostgreSQL's settings.

    It also ends the transaction of a client that no longer answers. Nothing outlives the
    transaction, so a pooler may give the server's session to another client.
    """
    given = {
        "idle_in_transaction_session_timeout": ABANDONED_MS,
        "client_connection_check_interval": CHECK_CLIENT_MS,
        **milliseconds,
    }
    return _LIMITS.statement(json.dumps(given))
