"""A copy of a database: it has what decides access, it cannot reach out, and it holds no secret that a
report could print.
"""

import html
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from supabase_jobs.audit.audit import audit
from supabase_jobs.audit.options import Options
from supabase_jobs.database.connection import Connection, connect
from supabase_jobs.projects.copied import (
    Copy,
    CopyOptions,
    copied,
    copied_before_and_after,
    differing,
)
from supabase_jobs.projects.narration import Narration
from supabase_jobs.projects.source import read_parts
from supabase_jobs.report import FORMATS
from supabase_jobs.sources.files import MigrationFiles, load_migrations
from tests.fix_cli import Run
from tests.fix_db import Database, Make

SHOP = """
create table public.plans (id text primary key, name text not null, features jsonb not null default '{}');
insert into public.plans values ('free', 'Free of charge', '{}'), ('pro', 'Professional', '{"key": "sk_live_4711"}');
alter table public.plans enable row level security;
create policy "plans: read" on public.plans for select using (true);
create table public.accounts (
  id uuid primary key default gen_random_uuid(), owner uuid not null references auth.users, plan text references public.plans
);
alter table public.accounts enable row level security;
create policy "accounts: own" on public.accounts using (owner = (select auth.uid()));
create table public.logs (id bigint generated always as identity primary key, account uuid, line text);
insert into public.logs (line) select 'a line of ' || n from generate_series(1, 1500) as n;
alter table public.logs enable row level security;
create function public.count_logs() returns bigint language sql as 'select count(*) from public.logs';
"""
OUTSIDE = """
create extension dblink with schema extensions;
create extension postgres_fdw with schema extensions;
create server warehouse foreign data wrapper postgres_fdw options (host '127.0.0.1', port '{port}', dbname 'postgres');
create user mapping for postgres server warehouse options (user 'postgres', password 'warehouse-password');
create foreign table public.stock (id int) server warehouse options (schema_name 'public', table_name 'stock');
grant usage on foreign server warehouse to postgres;
create table public.calls (at timestamptz);
grant all on public.calls to postgres;
create function public.tell() returns text language sql security definer set search_path = ''
as $$ select extensions.dblink_exec('host=127.0.0.1 port={port} dbname={name} user=supabase_admin password={password}', 'insert into public.calls values (now())') $$;
grant execute on function public.tell() to anon;
create function public.native(text) returns text language c as '$libdir/dblink', 'dblink_error_message';
"""


@pytest.fixture
def database(make_database: Make) -> Database:
    return make_database("platform", 17)


@contextmanager
def copy_of(database: Database, **options: object) -> Iterator[Copy]:
    with (
        connect(database.url) as connection,
        copied(connection, CopyOptions(Path("/nowhere"), **options)) as copy,  # type: ignore[arg-type]
    ):
        yield copy


def values(connection: Connection, query: str) -> list[object]:
    return [value for (value,) in connection.execute(query.encode()).fetchall()]


def test_the_copy_has_reference_rows_and_no_others(database: Database) -> None:
    with connect(database.url) as connection:
        connection.execute(SHOP.encode())
    with copy_of(database) as copy:
        assert values(copy.connection, "select id from public.plans order by id") == ["free", "pro"]
        assert values(copy.connection, "select count(*) from public.logs") == [0]
        assert "sk_live_4711" in copy.private
        assert "Professional" in copy.private
        assert copy.lacking == ()
    with copy_of(database, rows=False) as copy:
        assert values(copy.connection, "select count(*) from public.plans") == [0]


NUMBERED = """
create sequence public.codes;
create table public.tiers (
  id bigint generated always as identity primary key, rank serial, code int default nextval('public.codes'), name text unique
);
insert into public.tiers (name) select 'tier ' || n from generate_series(1, 7) as n;
revoke all on public.tiers from anon, authenticated;
create view public.names as select name from public.tiers;
create domain public.positive as int check (value > 0);
create table public.costs (id int primary key, amount public.positive);
insert into public.costs values (1, 2), (2, 4711);
revoke all on public.costs from anon, authenticated;
create view public.amounts as select amount from public.costs;
"""


def test_sequences_go_on_behind_reference_rows(database: Database) -> None:
    """The audit inserts a row of its own into the table."""
    with connect(database.url) as connection:
        connection.execute(NUMBERED.encode())
    with copy_of(database) as copy:
        copy.connection.execute("insert into public.tiers (name) values ('next')")
        found = copy.connection.execute("select max(id), max(rank), max(code) from public.tiers")
        assert found.fetchall() == [(8, 8, 8)]


def test_reference_rows_that_cannot_be_copied_are_named(
    database: Database,
) -> None:
    with connect(database.url) as connection:
        connection.execute(NUMBERED.encode())
        connection.execute(
            "alter table public.costs add constraint small check (amount < 9) not valid"
        )
    with copy_of(database) as copy:
        assert [(item.object, item.why) for item in copy.lacking] == [
            ("public.costs", "its rows were not copied: SQLSTATE 23514")
        ]


BRANDS = """
create table public.brands (id serial primary key);
insert into public.brands values (7);
select setval('public.brands_id_seq', 7);
"""


def test_rows_of_migrations_come_from_the_files(database: Database, tmp_path: Path) -> None:
    (tmp_path / "20260101000000_shop.sql").write_text(SHOP + BRANDS)
    (tmp_path / "20260102000000_later.sql").write_text(
        "insert into public.plans values ('later', 'Later');"
    )
    with connect(database.url) as connection:
        connection.execute((SHOP + BRANDS).encode())
        connection.execute("update public.plans set name = 'Secret name'")
        connection.execute(
            "create schema supabase_migrations; create table supabase_migrations.schema_migrations"
            " (version text primary key, statements text[], name text);"
            "insert into supabase_migrations.schema_migrations values ('20260101000000', '{}', 'shop')"
        )
    files = MigrationFiles(load_migrations(tmp_path))
    with copy_of(database, migrations=files) as copy:
        # of rows that have their numbers from the file
        next_brand = "insert into public.brands default values returning id"
        assert values(copy.connection, next_brand) == [8]
        assert values(copy.connection, "select name from public.plans order by id") == [
            "Free of charge",
            "Professional",
        ]
        assert copy.private == ()


def test_files_that_db_push_refuses_are_no_obstacle(
    database: Database, cli: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    for name in ("001_notes.sql", "001_more.sql"):
        (folder / name).write_text("create table if not exists public.notes (id int);")
    ran = cli("audit", "--json", "--db-url", database.url)
    assert (ran.code, "two migrations" in ran.err) == (1, False), ran.err
    assert ran.json["coverage"]["not_tested"][0]["object"] == "database"


def test_the_copy_cannot_reach_out(database: Database) -> None:
    port = psycopg.conninfo.conninfo_to_dict(database.url)["port"]
    with connect(database.superuser_url) as superuser:
        text = OUTSIDE.replace("{port}", str(port)).replace("{name}", database.name)
        superuser.execute(text.replace("{password}", database.server.password).encode())
    with copy_of(database) as copy:
        connection = copy.connection
        assert values(connection, "select count(*) from pg_user_mappings") == [0]
        assert values(connection, "select srvoptions from pg_foreign_server") == [None]
        [superuser_name] = values(connection, "select rolname from pg_roles where rolsuper")
        assert str(superuser_name).startswith("supabase_jobs_")
        assert values(connection, "select public.tell()") == [None]
        assert values(connection, "select public.native('x')") == [None]
        called = "select is_called from supabase_jobs_copy.dblink_exec"
        assert values(connection, called) == [True]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            connection.execute("select * from public.stock")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("create extension dblink")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("copy public.calls from program 'true'")
        audit(connection, Options())
    with connect(database.url) as original:
        assert values(original, "select count(*) from public.calls") == [0]
        original.execute("select public.tell()")  # it does reach it there
        assert values(original, "select count(*) from public.calls") == [1]


def test_a_table_that_the_role_may_not_read_is_named(database: Database) -> None:
    with connect(database.superuser_url) as superuser:
        superuser.execute(
            "create table public.closed (id int); create table public.open (id int);"
            "create role limited_reader login; grant select on public.open to limited_reader"
        )
        try:
            with (
                connect(database.server.url(database.name, "limited_reader")) as connection,
                copied(connection, CopyOptions(Path("/nowhere"))) as copy,
            ):
                why = {item.object: item.why for item in copy.lacking}
                assert "may not read" in why["public.closed"]
                assert "public.open" not in why
        finally:
            superuser.execute("drop owned by limited_reader; drop role limited_reader")


def test_no_text_of_the_original_is_printed(database: Database, cli: Run, tmp_path: Path) -> None:
    """A row refers to a settings row by a secret key, and a trigger raises its address."""
    with connect(database.url) as connection:
        connection.execute(
            """
create table public.settings (code text primary key default '', mail text);
insert into public.settings values ('whsec_"quoted"_<4711>', 'anna@shop.example');
revoke all on public.settings from anon, authenticated;
create table public.orders (id uuid primary key default gen_random_uuid(), settings text not null references public.settings);
create table public.mails (id uuid primary key default gen_random_uuid(), body text);
create function public.refuse() returns trigger language plpgsql security definer as $$
begin raise exception 'ask %', (select mail from public.settings where mail like 'anna%'); end $$;
create trigger refuse before insert on public.mails for each row execute function public.refuse();
"""
        )
    for form in FORMATS:
        ran = cli("audit", "--db-url", database.url, "--format", form, "--output", f"report.{form}")
        assert ran.code == 1, ran.err
        printed = ran.err + ran.out + (tmp_path / f"report.{form}").read_text()
        for private in ("whsec_", "anna@shop", "4711"):
            assert private not in printed, (form, private)
    ran = cli(
        "audit", "--db-url", database.url, "--emit", "pytest", "tests", "--emit", "pgtap", "tap"
    )
    assert ran.code == 0, ran.err
    written = [path.read_text() for path in (*tmp_path.glob("tests/*"), *tmp_path.glob("tap/*"))]
    assert not [text for text in written if "whsec_" in text or "anna@" in text]


TRANSFORMED = """
create table public.rates (code text primary key, percent numeric not null, note text);
insert into public.rates values ('nightjar', 71429.25, 'Ask "Anna" & <Bo>'), ('robin', 3.5, '');
revoke all on public.rates from anon, authenticated;
create function public.code() returns text language sql security definer as 'select upper(max(code)) from public.rates where percent > 5';
create function public.part() returns text language sql security definer as 'select ''x'' || substring(max(code) from 3 for 4) from public.rates where percent > 5';
create function public.total() returns numeric language sql security definer as 'select sum(percent) from public.rates';
create function public.half(text) returns text language sql security definer as 'select $1 || reverse(note) from public.rates where percent > 5';
create table public.orders (
  id uuid primary key default gen_random_uuid(), owner uuid not null references auth.users, title text not null,
  rate text not null references public.rates, label text unique, total numeric
);
create function public.price() returns trigger language plpgsql security definer as $$
begin
  select new.title || ' ' || reverse(min(code)), sum(percent) into new.label, new.total from public.rates where percent > 5;
  return new;
end $$;
create trigger price before insert on public.orders for each row execute function public.price();
create function public.find(text) returns setof public.orders language sql security definer as 'select * from public.orders where label = $1';
create table public.refusals (id uuid primary key default gen_random_uuid(), body text);
create function public.refuse() returns trigger language plpgsql security definer as $$
begin
  execute format('select * from %I', (select 'of_' || reverse(min(code)) from public.rates where percent > 5));
  return new;
end $$;
create trigger refuse before insert on public.refusals for each row execute function public.refuse();
create table public.named (id uuid primary key default gen_random_uuid(), body text);
create function public.name() returns trigger language plpgsql security definer as $$
begin
  raise unique_violation using constraint = (select 'of_' || reverse(min(code)) from public.rates where percent > 5);
end $$;
create trigger name before insert on public.named for each row execute function public.name();
create table public.broken (id uuid primary key default gen_random_uuid(), body text);
create function public.break() returns trigger language plpgsql as $$ begin new.shape := 1; return new; end $$;
create trigger break before insert on public.broken for each row execute function public.break();
"""
PARTS = ("nightjar", "ghtj", "rajthgin", "71429", "71432", "anna")


def test_no_value_that_was_computed_from_a_row_is_printed(
    database: Database, cli: Run, tmp_path: Path
) -> None:
    with connect(database.url) as connection:
        connection.execute(TRANSFORMED.encode())
    emitted = ["--emit", "pytest", "tests", "--emit", "pgtap", "tap"]
    ran = cli("audit", "--db-url", database.url, "--format", "html", "--output", "r.html", *emitted)
    assert ran.code == 0, ran.err
    files = [tmp_path / "r.html", *tmp_path.glob("tests/*"), *tmp_path.glob("tap/*")]
    texts = {"": ran.out + ran.err} | {file.name: file.read_text() for file in files}
    found = [(name, part) for name, text in texts.items() for part in PARTS if part in text.lower()]
    assert found == []
    assert "code()" in texts["r.html"]
    # names of definitions are no values
    assert 'record "new" has no field "shape"' in html.unescape(texts["r.html"])
    assert "can call total() with no argument" in texts["test_access_functions.py"]


def test_the_steps_and_their_parts_are_told(database: Database) -> None:
    steps: list[str] = []
    parts: list[tuple[int, int]] = []

    @contextmanager
    def step(name: str) -> Iterator[None]:
        steps.append(name)
        yield

    narration = Narration(step=step, note=lambda _: None, advance=lambda *at: parts.append(at))
    options = CopyOptions(Path("/nowhere"))
    with connect(database.url) as connection:
        connection.execute(
            "do $$ begin for n in 1..300 loop execute format('create table t%s ()', n); end loop; end $$"
        )
    with connect(database.url) as connection, copied(connection, options, narration=narration):
        assert steps == ["reading the schema", "copying the schema into an embedded server"]
    assert len(parts) > 1
    assert parts == sorted(parts)
    assert parts[-1][0] == parts[-1][1]


def test_the_database_is_only_read(database: Database, cli: Run) -> None:
    with connect(database.url) as connection:
        connection.execute(SHOP.encode())
    read_only = f"{database.url}?options=-c%20default_transaction_read_only%3Don"
    ran = cli("audit", "--db-url", read_only, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["coverage"]["tables"] == 3
    assert "nothing is written to this database" in ran.err


def test_calls_that_would_reach_out_are_told(database: Database, cli: Run) -> None:
    with connect(database.url) as connection:
        connection.execute(SHOP.encode())
    with connect(database.superuser_url) as superuser:
        superuser.execute("create extension dblink with schema extensions")
        superuser.execute(
            "create function public.tell() returns text language sql security definer as"
            " $$ select extensions.dblink_exec('host=warehouse', plan) from public.accounts $$"
        )
    ran = cli("audit", "--db-url", database.url)
    assert "note: stand-ins in the copy: dblink" in ran.err
    assert "note: functions called dblink_exec; in the copy these record the call" in ran.err


def test_a_single_row_of_settings_is_made_by_the_audit(
    database: Database, cli: Run, tmp_path: Path
) -> None:
    """The text of an error of the project's own function may hold a part of a value."""
    with connect(database.url) as connection:
        connection.execute(
            """
create table public.settings (only_row boolean primary key default true check (only_row), mail text, discount numeric);
insert into public.settings values (true, 'anna@shop.example', 71429.5);
revoke all on public.settings from anon, authenticated;
create table public.rates (code text primary key, percent numeric);
insert into public.rates values ('NIGHTJAR', 71429.5), ('ROBIN', 3);
revoke all on public.rates from anon, authenticated;
create table public.mails (id uuid primary key default gen_random_uuid(), rate text references public.rates);
create function public.refuse() returns trigger language plpgsql security definer as $$
begin raise exception 'lower %', (select lower(code) from public.rates where percent > 5); end $$;
create trigger refuse before insert on public.mails for each row execute function public.refuse();
create function public.mail() returns text language sql security definer as 'select mail from public.settings';
"""
        )
    with copy_of(database) as copy:
        assert values(copy.connection, "select count(*) from public.settings") == [0]
        assert values(copy.connection, "select count(*) from public.rates") == [2]
    ran = cli("audit", "--db-url", database.url, "--json")
    why = {item["object"]: item["why"] for item in ran.json["coverage"]["not_tested"]}
    assert "P0001 in PL/pgSQL function" in why["public.mails"]
    assert "nightjar" not in (ran.out + ran.err).lower()
    assert "71429" not in ran.out


ATTACK = """
create function public.attack(value text) returns boolean language plpgsql as $$
begin
  begin
    execute 'copy (select 1) to program ''touch {marker}''';
  exception when insufficient_privilege then
    null;
  end;
  return true;
end $$;
create table public.tiers (id text primary key check (public.attack(id)));
insert into public.tiers values ('one'), ('two');
create function public.fires() returns trigger language plpgsql as
$$ begin perform public.attack(''); return new; end $$;
create trigger fires before insert on public.tiers for each row execute function public.fires();
alter table public.tiers enable always trigger fires;
revoke all on public.tiers from anon, authenticated;
create table public.users_of (tier text references public.tiers);
create domain public.checked as text check (public.attack(value));
create table public.parts (a public.checked) partition by list (a);
create table public.parts_x partition of public.parts for values in ('x');
create function public.next(state public.checked, value text) returns public.checked language sql as 'select state';
create aggregate public.collect(text) (sfunc = public.next, stype = public.checked, initcond = 'x');
create function public.nextval(text) returns bigint language plpgsql as
$$ begin perform public.attack(''); return 1; end $$;
create function public.go() returns text language sql set search_path = public, pg_catalog as
$$ select extensions.dblink_exec('host=x', 'select 1') $$;
"""
HIDDEN = r"""
create role "o; Type: EXTENSION; Schema: -; Owner: p";
create table public.hidden (id int, body text);
alter table public.hidden owner to "o; Type: EXTENSION; Schema: -; Owner: p";
grant all on public.hidden to anon, postgres;
create table public.notes (id int, body text);
alter table public.notes enable row level security;
create policy literal on public.notes using (body = 'x
\restrict a');
create policy later on public.notes using (true);
"""


def test_the_code_of_a_project_never_runs_as_the_superuser(
    database: Database, tmp_path: Path
) -> None:
    marker = Path(tempfile.gettempdir()) / f"reached_{tmp_path.name}_{os.getpid()}"
    with connect(database.superuser_url) as superuser:
        superuser.execute("create extension dblink with schema extensions")
        superuser.execute(
            "create role supabase_jobs_copy; grant create on schema public to postgres"
        )
    with connect(database.url) as connection:
        connection.execute(ATTACK.replace("{marker}", str(marker)).encode())
    try:
        with copy_of(database) as copy:
            copy.connection.execute("select public.go(), public.collect('a')")
            assert values(copy.connection, "select count(*) from public.tiers") == [2]
            attached = "select count(*) from pg_inherits where inhparent = 'public.parts'::regclass"
            assert values(copy.connection, attached) == [1]
        assert not marker.exists()
    finally:
        marker.unlink(missing_ok=True)
        with connect(database.superuser_url) as superuser:
            superuser.execute("drop role supabase_jobs_copy")


def test_no_name_or_literal_hides_an_object_from_the_copy(database: Database) -> None:
    with connect(database.superuser_url) as superuser:
        superuser.execute(HIDDEN)
        try:
            with copy_of(database) as copy:
                assert copy.lacking == ()
                names = "select polname::text from pg_policy order by polname"
                assert values(copy.connection, names) == ["later", "literal"]
                granted = "select has_table_privilege('anon', 'public.hidden', 'select')"
                assert values(copy.connection, granted) == [True]
        finally:
            superuser.execute(
                'drop table public.hidden; drop role "o; Type: EXTENSION; Schema: -; Owner: p"'
            )


EVENT = """
create function public.on_event() returns event_trigger language plpgsql as $$
begin
  if (select rolsuper and rolname like 'supabase\\_jobs\\_%' from pg_roles where rolname = current_user) then
    execute 'copy (select 1) to program ''touch {marker}''';
  end if;
end $$;
"""
EVENTS = ("ddl_command_start", "ddl_command_end", "sql_drop", "login")


@pytest.mark.parametrize("major", [16, 17])
def test_event_triggers_never_run_as_the_superuser(
    make_database: Make, major: int, tmp_path: Path
) -> None:
    database = make_database("platform", major)
    marker = Path(tempfile.gettempdir()) / f"fired_{tmp_path.name}_{os.getpid()}"
    with connect(database.superuser_url) as superuser:
        superuser.execute(EVENT.replace("{marker}", str(marker)).encode())
        for event in EVENTS if major > 16 else EVENTS[:-1]:
            for state in ("always", "replica"):
                superuser.execute(
                    f"create event trigger {event}_{state} on {event}"
                    " execute function public.on_event();"
                    f"alter event trigger {event}_{state} enable {state}".encode()
                )
    pending = tmp_path / "20990101000000_more.sql"
    pending.write_text(
        "create extension if not exists pgcrypto; create extension if not exists unaccent;"
        "create table public.more (id int); drop table public.more;"
        "create publication more;"
    )
    files = MigrationFiles(load_migrations(tmp_path))
    try:
        with connect(database.url) as connection:
            options = CopyOptions(Path("/nowhere"))
            with copied_before_and_after(connection, options, files) as (before, after):
                audit(before.connection, Options())
                audit(after.connection, Options())
                events = "select count(*) from pg_event_trigger where evtname ~ '_always$'"
                assert values(after.connection, events) == [4 if major > 16 else 3]
        assert not marker.exists()
    finally:
        marker.unlink(missing_ok=True)


DIFFERENT = """
create table public.parents (id int primary key);
create table public.children (id int primary key, parent int references public.parents);
alter table public.children disable trigger all;
grant execute on function pg_catalog.pg_read_file(text) to anon;
grant select on pg_catalog.pg_authid to anon;
grant set on parameter log_statement to anon;
revoke all on database {name} from public;
grant create, temporary on database {name} to authenticated with grant option;
create function public.native(text) returns text language c as '$libdir/dblink', 'dblink_error_message';
"""


def test_what_differs_in_the_copy_is_named(database: Database) -> None:
    with connect(database.superuser_url) as superuser:
        superuser.execute(DIFFERENT.replace("{name}", database.name).encode())
        try:
            with copy_of(database) as copy:
                may = "select has_database_privilege('authenticated', current_database(), {})"
                privileges = [
                    values(copy.connection, may.format(f"'{name}'"))
                    for name in ("create with grant option", "temporary", "connect")
                ]
                why = {item.object: item.why for item in copy.lacking}
        finally:
            superuser.execute(
                "revoke set on parameter log_statement from anon; drop table public.children"
            )
    assert privileges == [[True], [True], [False]]
    assert why == {
        "public.children": "differs in the copy: foreign key children_parent_fkey is not checked",
        "parameter log_statement": "not copied",
        "pg_catalog.pg_read_file(text)": "not copied",
        "pg_catalog.pg_authid": "not copied",
        "public.native(text)": "differs in the copy: function",
    }


def test_an_extension_in_a_schema_that_comes_after_others(database: Database) -> None:
    """pg_dump sorts schemas and extensions by name, together."""
    with connect(database.superuser_url) as superuser:
        superuser.execute("create schema zoo; create extension unaccent with schema zoo")
    with copy_of(database) as copy:
        assert values(copy.connection, "select zoo.unaccent('café')") == ["cafe"]
        assert copy.lacking == ()


def test_a_cast_of_an_array_that_is_printed_differently_is_the_same(database: Database) -> None:
    with connect(database.url) as connection:
        connection.execute(
            "create table public.members (role varchar(20), since text default 'x'::varchar);"
            "alter table public.members enable row level security;"
            "create policy staff on public.members using (role in ('admin', 'member'))"
        )
    with copy_of(database) as copy:
        assert copy.lacking == ()


ROLES = """
create role {0}_staff;
create role {0}_leads noinherit;
create role {0}_anna login;
create role {0}_files login;
grant {0}_staff to {0}_leads with admin option;
grant {0}_staff to {0}_anna with admin true, inherit false;
grant pg_read_server_files to {0}_files;
set role {0}_leads;
grant {0}_staff to {0}_anna with admin false, inherit true granted by {0}_leads;
reset role;
alter role {0}_anna set statement_timeout = '7s';
alter role {0}_anna in database {1} set statement_timeout = '6s';
"""


@pytest.mark.parametrize("major", [15, 18])
def test_memberships_are_copied(make_database: Make, major: int) -> None:
    """The options of a GRANT differ since PostgreSQL 16."""
    role = f"member_{major}"
    database = make_database("platform", major)
    with connect(database.superuser_url) as superuser:
        superuser.execute(f"create role {role}; grant anon to {role} with admin option".encode())
        try:
            with copy_of(database) as copy:
                granted = f"select pg_has_role('{role}', 'anon', 'member with admin option')"
                assert values(copy.connection, granted) == [True]
                assert copy.lacking == ()
        finally:
            superuser.execute(f"drop role {role}".encode())


def test_roles_have_their_memberships_and_settings(database: Database) -> None:
    name = database.name
    roles = [f"{name}_{part}" for part in ("anna", "files", "leads", "staff")]
    with connect(database.superuser_url) as superuser:
        superuser.execute(ROLES.format(name, name).encode())
        try:
            with copy_of(database) as copy:
                has = f"select pg_has_role('{name}_anna', '{name}_staff', {{}})"
                assert values(copy.connection, has.format("'usage'")) == [True]
                assert values(copy.connection, has.format("'member with admin option'")) == [True]
                assert {item.object: item.why for item in copy.lacking} == {
                    f"role {name}_files": "differs in the copy: member of pg_read_server_files"
                }
        finally:
            superuser.execute(f"drop role {', '.join(reversed(roles))}".encode())


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ("revoke anon from {0}", "member of anon"),
        ("grant anon to {0} with inherit false", "member of anon"),
        ("alter role {0} bypassrls", "attributes"),
        ("alter role {0} reset statement_timeout", "setting statement_timeout"),
        ("alter role {0} set search_path = other", "setting search_path"),
    ],
)
def test_what_differs_between_roles_is_named(database: Database, change: str, part: str) -> None:
    """The original changes after it was read, as the copy would lack what fails there."""
    role = f"{database.name}_role"
    with connect(database.superuser_url) as superuser:
        superuser.execute(
            f"create role {role}; grant anon to {role};"
            f"alter role {role} set statement_timeout = '7s'".encode()
        )
        try:
            before = read_parts(superuser)
            superuser.execute(change.format(role).encode())
            assert differing(before, read_parts(superuser)) == {f"role {role}": [part]}
        finally:
            superuser.execute(f"drop role {role}".encode())
