"""Count the round trips of `verify`."""

import psycopg

from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS
from tests.round_trips import traced


def round_trips(url: str, *areas: str) -> int:
    """The round trips of `verify` for these areas, without those of connecting."""
    with (
        traced() as connections,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection,
    ):
        assert verify(connection, EXPECTATIONS, areas).findings == ()
        [traced_connection] = connections
        return traced_connection.round_trips
