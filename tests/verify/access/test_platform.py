"""Event triggers of logins, which PostgreSQL has since version 17, and settings of the server."""

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make

SETS_A_CLAIM = """
begin
  if session_user = 'authenticator' then
    perform set_config('request.jwt.claim.sub', '5f1d2a9c-7b3e-4c1d-9a60-2f8e0d4b6c71', false);
  end if;
end
"""
REFUSES = """
begin
  if session_user in ('authenticator', 'supabase_auth_admin') then
    raise exception 'closed at %', tg_event;
  end if;
end
"""
LOGS = "begin raise log '% by %', tg_event, session_user; end"

with_login_triggers = pytest.mark.parametrize("each_major", [18], indirect=True)


def at_login(connection: Connection, body: str) -> list[tuple[str, str]]:
    """The errors and warnings about a trigger that runs the body at each login."""
    connection.execute("reset session authorization")
    connection.execute(
        "create function public.at_login() returns event_trigger language plpgsql as"
        f" $$ {body} $$;"
        "create event trigger at_login on login execute function public.at_login()".encode()
    )
    connection.execute("set local session authorization postgres")
    return [(f.id, f.message) for f in verify(connection, EXPECTATIONS, ("access",)).findings]


@with_login_triggers
def test_a_login_trigger_that_sets_a_claim_is_an_error(as_postgres: Connection) -> None:
    [(id, message)] = at_login(as_postgres, SETS_A_CLAIM)
    assert (id, "begin as another caller" in message) == ("access:at_login:login", True)


@with_login_triggers
def test_a_login_trigger_that_refuses_the_api_is_an_error(as_postgres: Connection) -> None:
    [(id, message)] = at_login(as_postgres, REFUSES)
    assert (id, "authenticator cannot log in" in message) == ("access:at_login:login", True)


@with_login_triggers
def test_a_login_trigger_that_logs_is_harmless(as_postgres: Connection) -> None:
    assert at_login(as_postgres, LOGS) == []


def test_a_setting_of_the_server_is_an_error(make_database: Make) -> None:
    """No role and no database sets it, but the session begins with it."""
    url = make_database("applied").url
    with psycopg.connect(url, autocommit=True, options="-c row_security=off") as connection:
        [finding] = verify(connection, EXPECTATIONS, ("structure",), tries_fixes=False).findings
    assert finding.id == "structure:lint:unsafe_setting:server:row_security"
    assert finding.fix == "alter system reset row_security; select pg_reload_conf();"
