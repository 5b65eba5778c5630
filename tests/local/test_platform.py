"""Roles, schemas, privileges and functions of a Supabase database before its first migration, on
every version.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import psycopg
import pytest
from psycopg import sql

from supabase_jobs.errors import ConnectError, LocalServerError
from supabase_jobs.local.platform import load_platform
from supabase_jobs.local.server import ServerInfo, throwaway
from tests.programs import MAJORS, postgres_bin

USER = "7c9f0c1e-8a53-4c27-9f6e-2f8f0f1f5a01"
OTHER = "7c9f0c1e-8a53-4c27-9f6e-2f8f0f1f5a02"
API_ROLES = ["anon", "authenticated", "service_role"]
NUMBERS = count()

Connection = psycopg.Connection[tuple[object, ...]]


def new_database(server: ServerInfo) -> str:
    name = f"db{next(NUMBERS)}"
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    return name


@pytest.fixture(scope="module")
def names(plain: ServerInfo) -> dict[bool, str]:
    """Two databases of a cluster, with and without the default privileges."""
    made = {switch: new_database(plain) for switch in (True, False)}
    for switch, name in made.items():
        load_platform(plain.superuser_url_for(name), default_privileges=switch)
    return made


@pytest.fixture(scope="module", params=MAJORS)
def older(request: pytest.FixtureRequest) -> Iterator[ServerInfo]:
    """A server like an older project: roles belong to the cluster, so it is a server of its own."""
    major: int = request.param
    folder = postgres_bin(major)
    with throwaway(major=None if folder else major, postgres_bin=folder, platform=False) as info:
        load_platform(info.superuser_url, default_privileges=True, older_image=True)
        yield info


@pytest.fixture
def postgres(plain: ServerInfo, names: dict[bool, str]) -> Iterator[Connection]:
    """A connection as `postgres`, rolled back afterwards."""
    with psycopg.connect(plain.url_for(names[True])) as connection:
        yield connection
        connection.rollback()


def value(connection: Connection, query: str, *args: object) -> object:
    row = connection.execute(query.encode(), args).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize(
    ("role", "attributes"),
    [
        ("supabase_admin", "super inherit createrole createdb login replication bypassrls"),
        ("postgres", "inherit createrole createdb login replication bypassrls"),
        ("anon", "inherit"),
        ("authenticated", "inherit"),
        ("service_role", "inherit bypassrls"),
        ("authenticator", "login"),
        ("supabase_auth_admin", "login"),
    ],
)
def test_role_attributes(postgres: Connection, role: str, attributes: str) -> None:
    assert role_attributes(postgres, role) == set(attributes.split())


def role_attributes(connection: Connection, role: str) -> set[str]:
    columns = ["super", "inherit", "createrole", "createdb", "canlogin", "replication", "bypassrls"]
    row = connection.execute(
        f"select {', '.join('rol' + name for name in columns)} from pg_roles where rolname = %s",
        [role],
    ).fetchone()
    assert row is not None
    return {name.removeprefix("can") for name, there in zip(columns, row, strict=True) if there}


def test_the_api_roles_of_an_older_image_do_not_inherit(older: ServerInfo) -> None:
    with psycopg.connect(older.url) as connection:
        attributes = {role: role_attributes(connection, role) for role in API_ROLES}
    assert attributes == {"anon": set(), "authenticated": set(), "service_role": {"bypassrls"}}


@pytest.mark.parametrize(
    ("role", "settings"),
    [
        ("anon", {"statement_timeout=3s"}),
        ("authenticated", {"statement_timeout=8s"}),
        ("authenticator", {"statement_timeout=8s", "lock_timeout=8s"}),
        ("postgres", {'search_path="$user", public, extensions'}),
    ],
)
def test_role_settings(postgres: Connection, role: str, settings: set[str]) -> None:
    config = value(postgres, "select rolconfig from pg_roles where rolname = %s", role)
    assert set(config if isinstance(config, list) else []) == settings


@pytest.mark.parametrize("login", ["postgres", "authenticator"])
@pytest.mark.parametrize("role", API_ROLES)
def test_logins_that_can_set_an_api_role(
    plain: ServerInfo, names: dict[bool, str], login: str, role: str
) -> None:
    with psycopg.connect(plain.url_for(names[True], login)) as connection:
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        assert value(connection, "select current_user::text") == role


def test_authenticator_does_not_inherit_the_api_roles(
    plain: ServerInfo, names: dict[bool, str]
) -> None:
    with psycopg.connect(plain.url_for(names[True], "authenticator")) as connection:
        assert value(connection, "select has_schema_privilege('auth', 'usage')") is False


def test_postgres_owns_the_database_and_may_create_in_public(postgres: Connection) -> None:
    owner = value(
        postgres, "select datdba::regrole::text from pg_database where datname = current_database()"
    )
    assert owner == "postgres"
    assert value(
        postgres, "select nspowner::regrole::text from pg_namespace where nspname = 'public'"
    ) == ("pg_database_owner")
    postgres.execute("create table public.made (id integer)")


@pytest.mark.parametrize("role", API_ROLES)
def test_api_roles_use_schemas_but_do_not_create(postgres: Connection, role: str) -> None:
    for schema in ("public", "auth", "extensions"):
        assert value(postgres, "select has_schema_privilege(%s, %s, 'usage')", role, schema) is True
        assert (
            value(postgres, "select has_schema_privilege(%s, %s, 'create')", role, schema) is False
        )


@pytest.mark.parametrize("role", API_ROLES)
def test_api_roles_have_no_privilege_on_users(postgres: Connection, role: str) -> None:
    rights = "select, insert, update, delete, truncate, references, trigger"
    assert (
        value(postgres, "select has_table_privilege(%s, 'auth.users', %s)", role, rights) is False
    )


def test_owners_of_schema_auth_and_its_table(postgres: Connection) -> None:
    assert owners(postgres) == ("supabase_admin", "supabase_auth_admin")
    assert value(postgres, "select has_schema_privilege('postgres', 'auth', 'create')") is False
    assert (
        value(postgres, "select has_schema_privilege('supabase_auth_admin', 'auth', 'create')")
        is True
    )


def test_supabase_auth_admin_owns_auth_in_an_older_image(older: ServerInfo) -> None:
    with psycopg.connect(older.url) as connection:
        assert owners(connection) == ("supabase_auth_admin", "supabase_auth_admin")
        assert (
            value(connection, "select has_schema_privilege('postgres', 'auth', 'create')") is False
        )


def owners(connection: Connection) -> tuple[object, object]:
    return (
        value(
            connection, "select nspowner::regrole::text from pg_namespace where nspname = 'auth'"
        ),
        value(
            connection,
            "select relowner::regrole::text from pg_class where oid = 'auth.users'::regclass",
        ),
    )


def test_postgres_writes_and_references_users(postgres: Connection) -> None:
    postgres.execute(
        "create table public.owned (user_id uuid references auth.users (id) on delete cascade)"
    )
    postgres.execute(
        "insert into auth.users (id, email, is_anonymous) values (%s, 'a@example.com', false)",
        [USER],
    )
    postgres.execute("insert into public.owned values (%s)", [USER])
    postgres.execute("delete from auth.users")
    assert value(postgres, "select count(*) from public.owned") == 0


@pytest.mark.parametrize(
    ("settings", "uid"),
    [
        ({}, None),
        ({"request.jwt.claims": ""}, None),
        ({"request.jwt.claims": "", "request.jwt.claim.sub": ""}, None),
        ({"request.jwt.claims": '{"role": "anon"}'}, None),
        ({"request.jwt.claims": f'{{"sub": "{USER}"}}'}, USER),
        ({"request.jwt.claim.sub": USER}, USER),
        ({"request.jwt.claim.sub": "", "request.jwt.claims": f'{{"sub": "{USER}"}}'}, USER),
        ({"request.jwt.claim.sub": OTHER, "request.jwt.claims": f'{{"sub": "{USER}"}}'}, OTHER),
    ],
    ids=[
        "none",
        "empty",
        "both-empty",
        "no-sub",
        "claims",
        "legacy",
        "legacy-empty",
        "legacy-first",
    ],
)
def test_auth_uid(postgres: Connection, settings: dict[str, str], uid: str | None) -> None:
    for name, text in settings.items():
        postgres.execute("select set_config(%s, %s, true)", [name, text])
    postgres.execute("set local role anon")
    assert value(postgres, "select auth.uid()::text") == uid


def test_claims_of_an_earlier_transaction_are_gone(postgres: Connection) -> None:
    postgres.execute("select set_config('request.jwt.claims', %s, true)", [f'{{"sub": "{USER}"}}'])
    postgres.commit()
    assert value(postgres, "select current_setting('request.jwt.claims', true)") == ""
    assert (
        value(postgres, "select num_nulls(auth.uid(), auth.role(), auth.email(), auth.jwt())") == 4
    )


def test_auth_role_email_and_jwt(postgres: Connection) -> None:
    claims = '{"role": "authenticated", "email": "a@example.com", "is_anonymous": true}'
    postgres.execute("select set_config('request.jwt.claims', %s, true)", [claims])
    row = postgres.execute(
        "select auth.role(), auth.email(), auth.jwt() -> 'is_anonymous'"
    ).fetchone()
    assert row == ("authenticated", "a@example.com", True)


def test_the_realtime_publication_is_empty_and_owned_by_postgres(postgres: Connection) -> None:
    assert value(postgres, "select pubowner::regrole::text from pg_publication") == "postgres"
    assert value(postgres, "select count(*) from pg_publication_tables") == 0
    postgres.execute("create table public.live (id integer primary key)")
    postgres.execute("alter publication supabase_realtime add table public.live")


TABLE_PRIVILEGES = {"select", "insert", "update", "delete", "truncate", "references", "trigger"}


@pytest.mark.parametrize(
    ("owner", "switch", "table", "sequence", "function"),
    [
        ("postgres", True, TABLE_PRIVILEGES, {"usage", "select", "update"}, True),
        ("postgres", False, {"truncate", "references", "trigger"}, {"update"}, False),
        ("supabase_admin", True, TABLE_PRIVILEGES, {"usage", "select", "update"}, True),
        ("supabase_admin", False, TABLE_PRIVILEGES, {"usage", "select", "update"}, True),
    ],
    ids=["postgres-on", "postgres-off", "supabase_admin-on", "supabase_admin-off"],
)
def test_default_privileges(
    plain: ServerInfo,
    names: dict[bool, str],
    owner: str,
    switch: bool,
    table: set[str],
    sequence: set[str],
    function: bool,
) -> None:
    """With the switch "expose new tables" off, only the privileges of requests are revoked, and
    those of postgres.
    """
    name = names[switch]
    url = plain.superuser_url_for(name) if owner == "supabase_admin" else plain.url_for(name)
    # PostgreSQL 17 added MAINTAIN
    maintain = {"maintain"} if plain.major >= 17 else set()
    with psycopg.connect(url) as connection:
        connection.execute("create table public.probe (id bigint generated always as identity)")
        connection.execute(
            "create function public.probe() returns integer language sql as 'select 1'"
        )
        connection.execute("revoke execute on function public.probe() from public")
        for role in API_ROLES:
            held = {
                right
                for right in TABLE_PRIVILEGES | maintain
                if value(
                    connection, "select has_table_privilege(%s, 'public.probe', %s)", role, right
                )
            }
            assert held == table | maintain
            held = {
                right
                for right in ("usage", "select", "update")
                if value(
                    connection,
                    "select has_sequence_privilege(%s, 'public.probe_id_seq', %s)",
                    role,
                    right,
                )
            }
            assert held == sequence
            executes = value(
                connection, "select has_function_privilege(%s, 'public.probe()', 'execute')", role
            )
            assert executes is function
        connection.rollback()


def test_the_platform_can_be_loaded_twice(plain: ServerInfo, names: dict[bool, str]) -> None:
    load_platform(plain.superuser_url_for(names[True]), default_privileges=True)


def test_the_platform_can_be_loaded_again_in_the_other_form(older: ServerInfo) -> None:
    for older_image, inherits, owner in (
        (False, True, "supabase_admin"),
        (True, False, "supabase_auth_admin"),
    ):
        load_platform(older.superuser_url, default_privileges=True, older_image=older_image)
        with psycopg.connect(older.url) as connection:
            assert ("inherit" in role_attributes(connection, "anon")) is inherits
            assert owners(connection)[0] == owner


def test_the_platform_can_be_loaded_into_several_databases_concurrently(plain: ServerInfo) -> None:
    urls = [plain.superuser_url_for(new_database(plain)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda url: load_platform(url, default_privileges=True), urls))


def test_a_clone_keeps_the_default_privileges(plain: ServerInfo, names: dict[bool, str]) -> None:
    with psycopg.connect(plain.superuser_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database clone template {} owner postgres").format(
                sql.Identifier(names[True])
            )
        )
    with psycopg.connect(plain.url_for("clone")) as connection:
        connection.execute("create table public.probe (id integer)")
        assert (
            value(connection, "select has_table_privilege('anon', 'public.probe', 'truncate')")
            is True
        )


def test_loading_the_platform_requires_a_superuser_other_than_postgres(
    plain: ServerInfo, names: dict[bool, str]
) -> None:
    with pytest.raises(LocalServerError, match="superuser other than postgres"):
        load_platform(plain.url_for(names[True]), default_privileges=True)


def test_a_failed_connection_is_a_connect_error(plain: ServerInfo) -> None:
    with pytest.raises(ConnectError):
        load_platform(plain.superuser_url_for("no_such_database"), default_privileges=True)
