"""Count the round trips of `verify`."""

import psycopg

from benchmarks.distance import distance
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS

# longer than sending a batch takes: otherwise its first answers arrive before its end, and it
# counts as several
_ONE_WAY_SECONDS = 0.02


def round_trips(url: str, *areas: str) -> int:
    """The round trips of `verify` for these areas, without those of connecting."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    with (
        distance(int(info["port"] or 0), _ONE_WAY_SECONDS) as proxy,
        psycopg.connect(
            url, port=proxy.port, autocommit=True, prepare_threshold=None
        ) as connection,
    ):
        before = proxy.round_trips
        assert verify(connection, EXPECTATIONS, areas).findings == ()
        return proxy.round_trips - before
