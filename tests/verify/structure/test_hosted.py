"""The structure area reports nothing about what a hosted project contains."""

import psycopg

from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make
from tests.verify.harmless import Change, each_change


@each_change("hosted")
def test_objects_of_a_hosted_project_are_not_reported(make_database: Make, change: Change) -> None:
    """In a transaction that is rolled back: the databases of a server share its roles."""
    database = make_database("applied")
    with (
        psycopg.connect(database.superuser_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(change.sql.encode())
        assert verify(connection, EXPECTATIONS, ("structure",)).findings == ()
