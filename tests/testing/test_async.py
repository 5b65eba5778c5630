"""rls_async: the methods of rls on a psycopg.AsyncConnection, with pytest-asyncio and with anyio."""

import inspect
from typing import Any

import pytest

from supabase_jobs.testing import AsyncCaller, AsyncRls, Caller, Rls
from tests.fix_db import Database
from tests.testing.conftest import RunTests
from tests.verify.harmless import named

BODY = '''
import psycopg, pytest
from supabase_jobs.testing import AsyncRls

{mark}
async def test_users(rls_async):
    async with rls_async as rls:
        ann, bob = await rls.new_user(), await rls.new_user()
        await rls.owner.execute("insert into notes (owner, body) values (%s, 'hello')", [ann])
        async with rls.as_user(ann) as db:
            assert await db.rows("select body from notes") == [("hello",)]
            assert await db.value("select auth.uid()") == ann
            with pytest.raises(psycopg.errors.UndefinedTable):
                await db.connection.execute("select * from nowhere")
        assert await rls.owner.value("select current_setting('request.jwt.claims', true)") == ""
        select = "select * from notes where owner = %s"
        caller = rls.as_user(bob)
        await caller.assert_hidden(select, [ann])
        await caller.assert_denied("delete from notes")
        await caller.assert_violates("insert into notes (owner) values (%s)", [ann])
        await caller.assert_fails("42P01", "select * from nowhere")
        await caller.assert_untouched(select, [ann], by="update notes set body = 'mine'")
        assert (await caller.outcome(select, [ann])).name == "hidden"
        assert await rls.as_user(ann).assert_allowed("select body from notes", count=1) == [("hello",)]
        await rls.as_guest("d1").assert_hidden("select * from notes")
        with pytest.raises(AssertionError, match="expected hidden, got rows"):
            await rls.as_user(ann).assert_hidden(select, [ann])

{mark}
async def test_on_my_connection(supabase_db_url):
    async with await psycopg.AsyncConnection.connect(supabase_db_url) as connection:
        async with AsyncRls(connection) as rls:
            await rls.owner.execute("insert into notes (device) values ('d1')")
            assert "as postgres" in repr(rls)

TRIGGER = """{trigger}"""

{mark}
async def test_a_trigger_that_rejects_sign_ups(rls_async):
    async with rls_async as rls:
        await rls.owner.execute(TRIGGER)
        user = await rls.new_user()
        listed = "select count(*) from public.allowed_emails join auth.users using (email) where id = %s"
        assert await rls.owner.value(listed, [user]) == 1
'''
TRIGGER = named("sign_up", "an allow-list of addresses").decode()
ANYIO = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"


def test_runs_with_pytest_asyncio(run_tests: RunTests, notes_url: str, count_notes: object) -> None:
    result = run_tests(
        BODY.format(mark="@pytest.mark.asyncio", trigger=TRIGGER),
        plugins=["asyncio"],
        SUPABASE_DB_URL=notes_url,
    )
    result.assert_outcomes(passed=3)


def test_runs_with_anyio(run_tests: RunTests, notes_url: str, count_notes: object) -> None:
    result = run_tests(
        ANYIO + BODY.format(mark="@pytest.mark.anyio", trigger=TRIGGER),
        plugins=["anyio"],
        SUPABASE_DB_URL=notes_url,
    )
    result.assert_outcomes(passed=3)


def test_a_remote_database_is_rejected(run_tests: RunTests) -> None:
    text = (
        BODY.format(mark="@pytest.mark.asyncio", trigger=TRIGGER)
        + "\ndef test_repr(rls_async):\n    assert 'async with' in repr(rls_async)\n"
    )
    result = run_tests(
        text, plugins=["asyncio"], SUPABASE_DB_URL="postgresql://postgres@db.example.com/postgres"
    )
    result.assert_outcomes(errors=4)


def test_a_forwarded_port_is_rejected(run_tests: RunTests, in_use: Database) -> None:
    text = BODY.format(mark="@pytest.mark.asyncio", trigger=TRIGGER)
    result = run_tests(text, plugins=["asyncio"], SUPABASE_DB_URL=in_use.url)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines("*this is not an embedded server of supabase-jobs*")


def methods(cls: type) -> dict[str, Any]:
    return {
        name.replace("__a", "__"): (
            str(inspect.signature(member)).replace("Async", ""),
            inspect.getdoc(member),
        )
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and name not in ("__init__", "_transaction", "__repr__")
    }


@pytest.mark.parametrize(("sync", "asynchronous"), [(Rls, AsyncRls), (Caller, AsyncCaller)])
def test_sync_and_async_methods_are_equal(sync: type, asynchronous: type) -> None:
    assert methods(sync) == methods(asynchronous)
