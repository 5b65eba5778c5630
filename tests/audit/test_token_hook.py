"""The access token hook of the configuration: what it puts into tokens decides access."""

from pathlib import Path

import psycopg
import pytest

from tests.fix_cli import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("embedded")]
CONFIG = """[auth.hook.custom_access_token]
enabled = {enabled}
uri = "pg-functions://postgres/public/add_role"
"""
# the hook copies {value} into the claim that the policy compares
SHOP = """
create table public.orders (
  id uuid primary key default gen_random_uuid(), owner uuid not null references auth.users on delete cascade, note text
);
alter table public.orders enable row level security;
create policy "own orders" on public.orders using (owner = (select auth.uid()));
create policy "staff" on public.orders for select to authenticated
  using (((select auth.jwt()) ->> 'shop_role') = 'staff');
create function public.add_role(event jsonb) returns jsonb language plpgsql as $$
declare
  chosen text := (select {value} from auth.users as u where u.id = (event ->> 'user_id')::uuid);
begin
  return jsonb_set(event, '{{claims,shop_role}}', to_jsonb(coalesce(chosen, 'customer')));
end $$;
revoke execute on function public.add_role(jsonb) from public, anon, authenticated;
grant execute on function public.add_role(jsonb) to supabase_auth_admin;
"""
BY_USER, BY_PROJECT = "u.raw_user_meta_data ->> 'shop_role'", "u.raw_app_meta_data ->> 'shop_role'"


def written(folder: Path, sql: str, *, enabled: bool = True) -> Path:
    """A folder with the migration, and with the hook in its configuration."""
    file = folder / "supabase" / "migrations" / "20260101000000_shop.sql"
    file.parent.mkdir(parents=True)
    file.write_text(sql)
    (folder / "supabase" / "config.toml").write_text(CONFIG.format(enabled=str(enabled).lower()))
    return folder


def audited(cli: Run, folder: Path, sql: str, *, enabled: bool = True) -> dict[str, str]:
    """The errors of an audit, and what it has not tested: object → message."""
    ran = cli("audit", "--json", cwd=written(folder, sql, enabled=enabled))
    errors = [f for f in ran.json["findings"] if f["severity"] == "error"]
    untested = ran.json["coverage"]["not_tested"]
    found = {f["object"]: f["message"] for f in errors}
    return found | {item["object"]: item["why"] for item in untested}


def test_a_claim_that_a_user_chooses_at_sign_up_opens_rows(cli: Run, tmp_path: Path) -> None:
    found = audited(cli, tmp_path, SHOP.format(value=BY_USER))
    assert set(found) == {"public.orders"}
    assert "shop_role" in found["public.orders"]


def test_without_the_hook_nobody_gets_the_claim(cli: Run, tmp_path: Path) -> None:
    assert audited(cli, tmp_path, SHOP.format(value=BY_USER), enabled=False) == {}


def test_a_claim_that_only_the_project_gives_is_no_leak(cli: Run, tmp_path: Path) -> None:
    assert audited(cli, tmp_path, SHOP.format(value=BY_PROJECT)) == {}


def test_a_claim_that_everybody_gets_opens_rows(cli: Run, tmp_path: Path) -> None:
    everybody = SHOP.format(value=BY_PROJECT).replace("'customer'", "'staff'")
    ran = cli("audit", "--json", cwd=written(tmp_path, everybody))
    [orders] = ran.json["access"]
    assert (orders["object"], orders["select"]) == ("public.orders", "users")


PROFILES = """
create table public.profiles (id uuid primary key references auth.users, name text);
alter table public.profiles enable row level security;
create policy "own profile" on public.profiles using (id = (select auth.uid()));
grant select on public.profiles to supabase_auth_admin;
create policy "of tokens" on public.profiles for select to supabase_auth_admin using (true);
"""


def test_a_claim_that_everybody_with_a_row_gets_opens_rows(cli: Run, tmp_path: Path) -> None:
    """A newcomer has no profile, so only people with rows show it."""
    profile = "(select 'staff' from public.profiles as p where p.id = u.id)"
    ran = cli("audit", "--json", cwd=written(tmp_path, PROFILES + SHOP.format(value=profile)))
    [orders] = [row for row in ran.json["access"] if row["object"] == "public.orders"]
    assert orders["select"] == "users", ran.err


def test_a_hook_that_fails_is_named(cli: Run, tmp_path: Path) -> None:
    refused = SHOP.format(value=BY_PROJECT).partition("grant execute")[0]
    found = audited(cli, tmp_path, refused)
    assert set(found) == {"public.add_role"}
    assert "permission denied for function add_role" in found["public.add_role"]


def test_the_hook_changes_nothing_for_the_jobs_tables(
    cli: Run, applied_url: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, SHOP.format(value=BY_PROJECT))
    with psycopg.connect(applied_url) as connection:
        connection.execute(SHOP.format(value=BY_PROJECT).encode())
    ran = cli("verify", "--json", "--db-url", applied_url, cwd=folder)
    assert (ran.code, ran.json["summary"]["failed"]) == (0, 0), ran.out


@pytest.mark.parametrize(("enabled", "said"), [("false", 1), ("true", 0)])
def test_anonymous_sign_ins_that_are_off_are_said(
    enabled: str, said: int, cli: Run, tmp_path: Path
) -> None:
    permanent = PROFILES.replace(
        "(id = (select auth.uid()))", "((select (auth.jwt() ->> 'is_anonymous')::boolean) is false)"
    )
    folder = written(tmp_path, permanent)
    (folder / "supabase" / "config.toml").write_text(
        f"[auth]\nenable_anonymous_sign_ins = {enabled}\n"
    )
    ran = cli("audit", cwd=folder)
    assert ran.err.count("enable_anonymous_sign_ins is off") == said


def test_what_the_configuration_excludes_is_said(cli: Run, tmp_path: Path) -> None:
    folder = written(tmp_path, SHOP.format(value=BY_USER))
    web = CONFIG.format(enabled="true").replace("pg-functions://postgres", "https://example.com")
    (folder / "supabase" / "config.toml").write_text(f"[auth]\nenable_signup = false\n{web}")
    ran = cli("audit", cwd=folder)
    assert "enable_signup is off" in ran.err
    assert "the access token hook is a web service, which is not called" in ran.err


# the tenant of the token is the one that the user has chosen, if {condition}
TEAMS = """
create table public.teams (id uuid primary key default gen_random_uuid(), name text not null);
create table public.members (
  team_id uuid references public.teams on delete cascade, user_id uuid references auth.users on delete cascade,
  primary key (team_id, user_id)
);
create table public.bills (
  id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams on delete cascade,
  amount numeric not null
);
alter table public.teams enable row level security;
alter table public.members enable row level security;
alter table public.bills enable row level security;
create policy "own" on public.members for select to authenticated using (user_id = (select auth.uid()));
create policy "of the team" on public.bills for select to authenticated
  using (team_id = ((select auth.jwt()) -> 'app_metadata' ->> 'team_id')::uuid);
create function public.add_role(event jsonb) returns jsonb language plpgsql stable security definer set search_path = '' as $$
declare
  chosen text := event -> 'claims' -> 'user_metadata' ->> 'team';
  team text := (
    select m.team_id from public.members as m where m.user_id = (event ->> 'user_id')::uuid
    order by m.team_id::text = chosen desc nulls last limit 1
  );
begin
  if {condition} then
    team := chosen;
  end if;
  return jsonb_set(event, '{{claims,app_metadata,team_id}}', coalesce(to_jsonb(team), 'null'));
end $$;
revoke execute on function public.add_role(jsonb) from public, anon, authenticated;
grant execute on function public.add_role(jsonb) to supabase_auth_admin;
"""


def test_a_hook_believes_the_team_that_a_user_names(cli: Run, tmp_path: Path) -> None:
    folder = written(tmp_path, TEAMS.format(condition="chosen is not null"))
    ran = cli("audit", "--json", cwd=folder)
    [bills] = [f for f in ran.json["findings"] if f["object"] == "public.bills"]
    assert "changes their own user_metadata" in bills["message"]
    assert bills["cause"] == "function public.add_role(jsonb)"


def test_a_hook_takes_a_team_of_the_user_only(cli: Run, tmp_path: Path) -> None:
    assert audited(cli, tmp_path, TEAMS.format(condition="false")) == {}


# whoever is in the table has a desk; the head of the desks reads firms, too
DESK = """
create type public.desk_role as enum ('head', 'clerk');
create table public.desk (id uuid primary key references auth.users, role public.desk_role not null default 'clerk');
create table public.firms (id uuid primary key default gen_random_uuid(), name text not null);
create table public.people (
  id uuid primary key references auth.users, firm uuid not null references public.firms, name text not null
);
create table public.holidays (
  id uuid primary key default gen_random_uuid(), firm uuid not null references public.firms, day date not null
);
create function public.desk_role() returns text language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'desk_role' $$;
create function public.has_desk() returns boolean language sql stable as $$ select public.desk_role() is not null $$;
create function public.my_firm() returns uuid language sql stable as
  $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'firm')::uuid $$;
alter table public.desk enable row level security;
alter table public.firms enable row level security;
alter table public.people enable row level security;
alter table public.holidays enable row level security;
create policy "own" on public.desk for select to authenticated using (id = auth.uid());
create policy "heads" on public.desk for all to authenticated using (public.desk_role() = 'head');
create policy "read" on public.firms for select to authenticated using (public.desk_role() = 'head' or id = public.my_firm());
create policy "own" on public.people for select to authenticated using (id = auth.uid());
create policy "read" on public.holidays for select to authenticated using (public.has_desk() or firm = public.my_firm());
create function public.add_role(event jsonb) returns jsonb language plpgsql security definer set search_path = '' as $$
declare
  caller uuid := event ->> 'user_id';
  claims jsonb := event -> 'claims';
  found record;
begin
  select firm into found from public.people where id = caller;
  if found.firm is not null then
    claims := jsonb_set(claims, '{firm}', to_jsonb(found.firm));
  end if;
  select role into found from public.desk where id = caller;
  if found.role is not null then
    claims := jsonb_set(claims, '{desk_role}', to_jsonb(found.role));
  end if;
  return jsonb_set(event, '{claims}', claims);
end $$;
revoke execute on function public.add_role(jsonb) from public, anon, authenticated;
grant execute on function public.add_role(jsonb) to supabase_auth_admin;
"""


def test_who_has_a_claim_that_policies_only_look_for_is_another_person(
    cli: Run, tmp_path: Path
) -> None:
    """Those who are in the table of the desk are its clerks; nobody else has the claim."""
    ran = cli("audit", "--json", cwd=written(tmp_path, DESK))
    reading = {
        cell["caller"]
        for cell in ran.json["matrix"]
        if (cell["object"], cell["action"]) == ("public.holidays", "select")
        if (cell["whose"], cell["outcome"]) == ("other", "rows")
    }
    assert reading == {
        "service_role",
        "user with desk_role = clerk",
        "user with desk_role = head",
    }
    problems = [f for f in ran.json["findings"] if f["severity"] in ("error", "warning")]
    assert "public.holidays" not in {problem["object"] for problem in problems}
