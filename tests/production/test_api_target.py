"""`verify --api-url` and `audit --api-url` commit rows: only in the databases of tests."""

import uuid

import psycopg
import pytest

from supabase_jobs.api.marked_ids import marked_id
from tests.fix_cli import Ran, Run

API = {
    "SUPABASE_ANON_KEY": "a",
    "SUPABASE_SERVICE_ROLE_KEY": "b",
    "SUPABASE_JWT_SECRET": "a secret of at least thirty-two characters",
}
HOOK = """
create function public.announce() returns trigger language plpgsql as $$
begin
  perform pg_notify('sign_ups', new.id::text);
  return new;
end $$;
create trigger announce after insert on auth.users for each row execute function public.announce();
"""

each_command = pytest.mark.parametrize("command", ["verify", "audit"])


def run(cli: Run, command: str, url: str, *words: str) -> Ran:
    """The command with an API that does not answer: what comes before the first request."""
    return cli(command, "--api-url", "http://127.0.0.1:1", "--db-url", url, *words, **API)


def add_user(url: str, id: uuid.UUID) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("insert into auth.users (id, email) values (%s, 'x@example.net')", (id,))


@each_command
def test_a_database_with_users_is_refused(cli: Run, applied_url: str, command: str) -> None:
    add_user(applied_url, uuid.uuid4())
    ran = run(cli, command, applied_url)
    assert ran.code == 2
    assert "has users that no test made" in ran.err
    assert "x@example.net" not in ran.err
    assert "pass --allow-remote" in ran.err


@each_command
def test_users_of_an_earlier_run_are_accepted(cli: Run, applied_url: str, command: str) -> None:
    add_user(applied_url, marked_id("a user of a test"))
    ran = run(cli, command, applied_url)
    assert "has users that no test made" not in ran.err


@each_command
def test_triggers_that_reach_out_are_listed(cli: Run, applied_url: str, command: str) -> None:
    with psycopg.connect(applied_url) as connection:
        connection.execute(HOOK)
    add_user(applied_url, uuid.uuid4())
    assert (
        f"warning: {command} commits rows; announce on auth.users"
        in run(cli, command, applied_url, "--allow-remote").err
    )
