"""The last statement of the migrations about a privilege."""

import pytest

from supabase_jobs.database.parser.privileges import Privilege
from supabase_jobs.sources.files import Migration
from supabase_jobs.sources.revocations import Revocation, revocations

SWEEP = Privilege("function", "public", "sweep", "execute", "public")
HASH = Privilege("table", "app", "users", "select", "anon", ("hash",))


def _found(sql: str) -> list[Revocation]:
    return revocations([Migration("1", "one", sql, "1_one.sql")])


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("revoke all on function sweep(uuid) from public", [Revocation(SWEEP)]),
        ("revoke select (hash) on app.users from anon", [Revocation(HASH)]),
        ("select 'revoke'; grant execute on function sweep(uuid) to anon", []),
        # what another statement says about the same
        (
            "revoke execute on function sweep from public; grant execute on function sweep to anon",
            [Revocation(SWEEP, frozenset({"anon"}))],
        ),
        (
            "revoke all on function sweep from public; grant all on all functions in schema public to public",
            [],
        ),
        ("revoke select (hash) on app.users from anon; grant select on app.users to anon", []),
        (
            "revoke select (hash) on app.users from anon; grant select (id) on app.users to anon",
            [Revocation(HASH)],
        ),
        (
            "grant select on app.users to anon; revoke select (hash) on app.users from anon",
            [Revocation(HASH)],
        ),
        # of no table or function, of no named one, and no right of its own
        ("revoke usage on schema app from anon", []),
        ("revoke all on all tables in schema app from anon", []),
        ("revoke grant option for select (hash) on app.users from anon", []),
    ],
)
def test_the_last_statement_counts(sql: str, found: list[Revocation]) -> None:
    assert _found(sql) == found


def test_a_revoke_without_privileges_is_of_each() -> None:
    found = [one.privilege.privilege for one in _found("revoke all on app.users from anon")]
    assert found == ["select", "insert", "update", "delete"]
