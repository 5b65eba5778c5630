"""Nothing that Supabase ships or that projects often add changes a result of `verify`."""

from collections.abc import Iterator

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Finding, Severity
from supabase_jobs.verify.areas import AREAS
from supabase_jobs.verify.verify import verify
from tests.fix_db import EXPECTATIONS, Make, superuser_session

# the settings of a hosted project, and some that projects make
SETTINGS = """
alter role authenticator set session_preload_libraries = safeupdate;
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role authenticator set pgrst.db_schemas = 'public, graphql_public';
alter role authenticator set pgrst.db_extra_search_path = 'public, extensions';
alter role authenticator set pgrst.db_max_rows = '1000';
alter role authenticator set pgrst.db_plan_enabled = 'false';
alter role authenticator set pgrst.jwt_role_claim_key = '.role';
alter role anon set statement_timeout = '3s';
alter role anon set search_path = public, extensions;
alter role service_role set statement_timeout = 0;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_auth_admin set idle_in_transaction_session_timeout = 60000;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_admin set log_statement = 'none';
alter database {database} set app.settings.jwt_secret = 'a secret of thirty-two characters';
alter database {database} set app.settings.jwt_exp = '3600';
alter database {database} set timezone = 'Europe/Berlin';
alter database {database} set log_min_duration_statement = 500;
alter database {database} set statement_timeout = '2min';
alter role postgres set row_security = on;
"""

# the event triggers of a hosted project, which grant privileges on the objects of extensions
EVENT_TRIGGERS = """
create function extensions.grant_pg_net_access() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_namespace where nspname = 'net') then
    grant usage on schema net to supabase_functions_admin, postgres, anon, authenticated, service_role;
  end if;
end $$;
create event trigger issue_pg_net_access on ddl_command_end when tag in ('CREATE EXTENSION')
  execute function extensions.grant_pg_net_access();
create function extensions.grant_pg_graphql_access() returns event_trigger language plpgsql as $$
begin
  grant usage on schema graphql to postgres, anon, authenticated, service_role;
end $$;
create event trigger issue_pg_graphql_access on ddl_command_end when tag in ('CREATE FUNCTION')
  execute function extensions.grant_pg_graphql_access();
alter event trigger issue_pg_graphql_access disable;
alter event trigger issue_pg_graphql_access enable replica;
create function public.rls_auto_enable() returns event_trigger language plpgsql security definer as $$
begin
  execute format('alter table if exists %s enable row level security', 'public.anything');
end $$;
create event trigger ensure_rls on ddl_command_end when tag in ('CREATE TABLE AS')
  execute function public.rls_auto_enable();
"""

# a table of profiles that a sign-up fills, a history with a cascade, and functions with familiar
# names
USER_OBJECTS = """
create table public.profiles (id uuid primary key references auth.users on delete cascade, name text);
alter table public.profiles enable row level security;
create function public.handle_new_user() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  insert into public.profiles (id, name) values (new.id, new.raw_user_meta_data ->> 'name');
  return new;
end $$;
create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
create table public.job_history (
  job_id uuid references public.async_jobs on delete cascade, at timestamptz default now()
);
create index on public.job_history (job_id);
alter table public.job_history enable row level security;
create function public.uid() returns uuid language sql stable as 'select auth.uid()';
create function public.uuidv7() returns uuid language sql as 'select gen_random_uuid()';
create type public.point3 as (x float8, y float8, z float8);
create function public.add(public.point3, public.point3) returns public.point3 language sql as 'select $1';
create operator public.+ (leftarg = public.point3, rightarg = public.point3, function = public.add);
create function public.same(public.point3, public.point3) returns boolean language sql as 'select true';
create operator public.= (leftarg = public.point3, rightarg = public.point3, function = public.same);
-- a trigger whose function leaves the schema to the search_path of the request
create function public.count_history() returns trigger language plpgsql as $$
begin
  perform count(*) from job_history;
  return null;
end $$;
create trigger count_history after insert on public.async_jobs
  for each row execute function public.count_history();
-- the same at commit
create function public.count_jobs() returns trigger language plpgsql as $$
begin
  perform count(*) from async_jobs;
  return null;
end $$;
create constraint trigger count_jobs after insert or update on public.async_jobs deferrable initially deferred
  for each row execute function public.count_jobs();
"""


def generation(body: str, options: str = "") -> str:
    """auth.uid(), auth.role() and auth.email() with a body in which CLAIM and TYPE are replaced."""
    return "".join(
        f"create or replace function auth.{name}() returns {type} language sql stable {options}"
        f" as $$ {body.replace('CLAIM', claim).replace('TYPE', type)} $$;"
        for name, claim, type in (
            ("uid", "sub", "uuid"),
            ("role", "role", "text"),
            ("email", "email", "text"),
        )
    )


# the versions that Supabase has shipped
CALLER_FUNCTIONS = {
    "2020": generation(
        "select nullif(current_setting('request.jwt.claim.CLAIM', true), '')::TYPE;"
    ),
    "November 2021": generation(
        "select coalesce(current_setting('request.jwt.claim.CLAIM', true),"
        " (current_setting('request.jwt.claims', true)::jsonb ->> 'CLAIM'))::TYPE"
    ),
    "December 2021": generation(
        "select nullif(coalesce(current_setting('request.jwt.claim.CLAIM', true),"
        " (current_setting('request.jwt.claims', true)::jsonb ->> 'CLAIM')), '')::TYPE"
    ),
    "2022": generation(
        "select\n\tcoalesce(\n\t\tnullif(current_setting('request.jwt.claim.CLAIM', true), ''),\n"
        "\t\t(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->>"
        " 'CLAIM')\n\t)::TYPE"
    ),
    "2024": generation(
        "select coalesce(nullif(current_setting('request.jwt.claim.CLAIM', true), ''),"
        " (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'CLAIM'))::TYPE",
        "set search_path to ''",
    ),
}

# other bodies with the same effect: the claims alone decide
OTHER_BODIES = """
create or replace function auth.uid() returns uuid language plpgsql stable as $$
declare
  claim text := current_setting('request.jwt.claim.sub', true);
begin
  if claim is null or claim = '' then
    claim := auth.jwt() ->> 'sub';
  end if;
  return claim::uuid;
end $$;
create or replace function auth.jwt() returns jsonb language sql stable as $$
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
"""


@pytest.fixture
def superuser(make_database: Make) -> Iterator[Connection]:
    """A transaction of a superuser as postgres, in a database of its own; rolled back after the
    test.
    """
    with superuser_session(make_database("applied")) as connection:
        connection.execute("reset session authorization")
        yield connection


def findings(connection: Connection, *areas: str) -> list[Finding]:
    """The errors and warnings that `verify` reports to postgres."""
    connection.execute("set local session authorization postgres")
    result = verify(connection, EXPECTATIONS, areas or AREAS, tries_fixes=False)
    return [finding for finding in result.findings if finding.severity is not Severity.INFO]


def test_settings_of_a_hosted_project(superuser: Connection) -> None:
    superuser.execute(SETTINGS.replace("{database}", superuser.info.dbname).encode())
    assert findings(superuser, "structure") == []


def test_event_triggers_of_a_hosted_project(superuser: Connection) -> None:
    superuser.execute(EVENT_TRIGGERS.encode())
    assert findings(superuser, "structure") == []


def test_user_objects(superuser: Connection) -> None:
    superuser.execute(USER_OBJECTS.encode())
    assert findings(superuser) == []


@pytest.mark.parametrize("body", CALLER_FUNCTIONS.values(), ids=CALLER_FUNCTIONS)
def test_caller_functions_of_earlier_projects(superuser: Connection, body: str) -> None:
    """Before 2021, a function reads nothing but the setting of one claim, and most cells deviate."""
    superuser.execute(body.encode())
    assert [f for f in findings(superuser, "access") if f.object.startswith("auth.")] == []


def test_caller_functions_that_read_the_claims_in_another_way(superuser: Connection) -> None:
    superuser.execute(OTHER_BODIES.encode())
    assert findings(superuser, "access") == []


CLAIMS_ONLY = """
create or replace function auth.uid() returns uuid language sql stable as $$
  select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$
"""


def test_a_caller_function_need_not_read_the_settings_of_older_versions(
    superuser: Connection,
) -> None:
    superuser.execute(CLAIMS_ONLY.encode())
    assert findings(superuser) == []
    ignored = [
        f
        for f in verify(superuser, EXPECTATIONS, ("access",)).findings
        if "legacy setting" in f.message
    ]
    assert ignored
    assert all("auth.uid() ignores" in f.message for f in ignored)


def test_what_the_settings_of_older_versions_open_is_an_error(superuser: Connection) -> None:
    superuser.execute(CLAIMS_ONLY.encode())
    superuser.execute(
        'alter policy "users create their own jobs" on public.async_jobs with check (true)'
    )
    wrong = [f.message for f in findings(superuser, "access") if "legacy setting" in f.message]
    assert wrong == ["user, legacy setting: insert forged should be violates and is rows"]


def test_secrets_are_not_shown(superuser: Connection) -> None:
    superuser.execute(
        "alter role authenticator set pgrst.jwt_secret = 'classified';"
        """alter role all set request.jwt.claims = '{"sub": "classified"}'"""
    )
    shown = findings(superuser, "structure")
    assert {finding.object for finding in shown} == {"authenticator", "database"}
    assert "classified" not in str(shown)
