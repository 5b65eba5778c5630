"""Intended bypasses and privileges: what an entry pins, which changes break it, what a restrictive
policy explains.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.errors import ConfigError
from supabase_jobs.findings import Finding, Severity, Verification
from supabase_jobs.mutation.mutate import mutate
from supabase_jobs.settings import AllowedEntry, load_settings
from supabase_jobs.verify.expectations import Expectations
from supabase_jobs.verify.verify import verify
from tests.fix_cli import Run
from tests.fix_db import EXPECTATIONS, Make, Session, every_major
from tests.programs import DEFAULT_MAJOR
from tests.verify.catalogue import REASON, allowing

SAMPLES = """
create role site_admin nologin;
grant select, delete on public.async_jobs to site_admin;
create table public.members (id uuid, team text, n int);
create function public.is_member(team text) returns boolean language sql stable security definer set search_path = ''
  as 'select exists (select from public.members as m where m.team = is_member.team)';
create policy one on public.async_jobs to site_admin using (
  (select auth.jwt() ->> 'aal') = 'aal2' and status in ('queued', 'failed')
  and (url like 'https://%' or progress between 1 and 9) and not (metadata @> '{"a  b": 1}' and guest_id is null)
) with check (
  case when progress > 5 then user_id = (select auth.uid())
  else coalesce(metadata ->> 'x', '') <> all (array['a', 'b']) end
);
create policy two on public.async_jobs as restrictive for select to site_admin using (
  exists (
    select 1 from public.members as m where m.id = async_jobs.user_id and m.team = any (string_to_array('a,b', ','))
  )
  or user_id in (select m.id from public.members as m group by m.id having count(*) > 1 order by m.id limit 3)
  or public.is_member(url) or created_at > now() - interval '1 day' or progress::text = '1'
);
create view public.busy as
with recent as (select j.id, j.status, row_number() over (partition by j.status order by j.created_at) as n
  from public.async_jobs as j where j.created_at > now() - interval '7 days')
select r.status, count(*) filter (where r.n > 1) as many, (select max(x.n) from public.members as x) as most
from recent as r left join public.members as m using (id) group by r.status;
grant select on public.busy to anon;
create function public.counts(at_least bigint default 1) returns table (status text, jobs bigint)
language sql stable security definer begin atomic
  select j.status, count(*) from public.async_jobs as j group by j.status having count(*) > at_least;
end;
create function public.logs() returns trigger language plpgsql as $$ begin raise log '%', new.id; return new; end $$;
create trigger logs after update of status on public.async_jobs for each row
  when (old.status is distinct from new.status) execute function public.logs();
"""


def by_name(expectations: Expectations) -> dict[str, AllowedEntry]:
    """The entries of all sections, by name."""
    return {
        name: entry for section in expectations.allowed.values() for name, entry in section.items()
    }


def entries(result: Verification) -> dict[str, AllowedEntry]:
    """The entries that a report prints, by name."""
    return by_name(allowing(result))


# the first digits of each SHA-256, as projects have them in their files
PINS = {
    "policy one on public.async_jobs": "5c8e33dfdd3b",
    "policy two on public.async_jobs": "7d850eae52f4",
    "public.busy": "eb8560d2b67e",
    "public.counts(bigint)": "3cb7d63720c2",
    "site_admin: delete on public.async_jobs": "65daeb378bde",
    "site_admin: select on public.async_jobs": "6e4261695ad1",
    "trigger logs on public.async_jobs": "071db7d6609c",
}


@every_major
def test_pins_are_the_same_on_every_version(rolled_back: Connection) -> None:
    """A local database may have another version than the hosted one, and supabase-jobs may be
    upgraded.
    """
    rolled_back.execute(SAMPLES.encode())
    before = verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False)
    assert {name: str(entry.sha256)[:12] for name, entry in entries(before).items()} == PINS
    assert verify(rolled_back, allowing(before), ("structure",)).ok


@pytest.fixture(scope="module")
def samples_allowed(shared: Callable[[int], str], session: Session) -> Expectations:
    """The expectations of a project that has reviewed the samples; the pins are the same on every
    version.
    """
    connection = session(shared(DEFAULT_MAJOR))
    with connection.transaction(force_rollback=True):
        connection.execute(SAMPLES.encode())
        return allowing(verify(connection, EXPECTATIONS, ("structure",), tries_fixes=False))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("alter policy one on public.async_jobs using (true)", "policy one on public.async_jobs"),
        (
            "alter policy one on public.async_jobs with check (true)",
            "policy one on public.async_jobs",
        ),
        (
            "alter policy one on public.async_jobs to site_admin, authenticated",
            "policy one on public.async_jobs",
        ),
        (
            "drop policy two on public.async_jobs;"
            "create policy two on public.async_jobs for select to site_admin using (true)",
            "policy two on public.async_jobs",
        ),
        (
            "create or replace function public.is_member(team text) returns boolean language sql"
            " stable"
            " security definer set search_path = '' as 'select true'",
            "policy two on public.async_jobs",
        ),
        ("grant site_admin to authenticator", "policy one on public.async_jobs"),
        ("grant site_admin to authenticator", "site_admin: select on public.async_jobs"),
        (
            "grant select on public.async_jobs to site_admin with grant option",
            "site_admin: select on public.async_jobs",
        ),
        (
            "create or replace view public.busy as select url as status, 1::bigint as many, 1 as"
            " most"
            " from public.async_jobs",
            "public.busy",
        ),
        ("revoke insert on public.busy from anon", "public.busy"),
        ("revoke all on public.busy from authenticated", "public.busy"),
        ("alter function public.counts set work_mem = '1MB'", "public.counts(bigint)"),
        (
            "create or replace function public.counts(at_least bigint default 1)"
            " returns table (status text, jobs bigint) language sql stable security definer"
            " as 'select url, 1 from public.async_jobs'",
            "public.counts(bigint)",
        ),
        ("revoke execute on function public.counts from public, anon", "public.counts(bigint)"),
        (
            "create or replace function public.logs() returns trigger language plpgsql as"
            " $$ begin new.status := 'x'; return new; end $$",
            "trigger logs on public.async_jobs",
        ),
        (
            "alter table public.async_jobs enable always trigger logs",
            "trigger logs on public.async_jobs",
        ),
    ],
)
def test_a_changed_definition_is_an_error_with_both_hashes(
    samples_allowed: Expectations, rolled_back: Connection, change: str, name: str
) -> None:
    rolled_back.execute(SAMPLES.encode())
    rolled_back.execute(change.encode())
    result = verify(rolled_back, samples_allowed, ("structure",), tries_fixes=False)
    assert not result.ok
    old, new = by_name(samples_allowed)[name].sha256, entries(result)[name].sha256
    assert new != old
    [finding] = [
        f
        for f in result.findings
        if name in f.message.replace('\\"', '"') and "has changed" in f.message
    ]
    assert finding.severity is Severity.ERROR
    assert f"(sha256 {old}, now {new})" in finding.message


def test_what_a_function_calls_and_a_view_selects_is_pinned(rolled_back: Connection) -> None:
    """An invoker helper runs as the owner if a definer function calls it."""
    rolled_back.execute(
        "create view public.finished with (security_invoker) as"
        " select * from public.async_jobs where status = 'completed';"
        "create function public.helper() returns bigint language sql as 'select count(*) from"
        " public.FINISHED';"
        "create function public.total() returns bigint language sql security definer as"
        " 'select public.helper() + (select count(*) from public.async_jobs)';"
        "create view public.totals as select url from public.finished; grant select on"
        " public.totals to anon"
    )
    allowed = allowing(verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False))
    assert verify(rolled_back, allowed, ("structure",)).ok
    rolled_back.execute(
        "create or replace view public.finished with (security_invoker) as select * from"
        " public.async_jobs"
    )
    changed = [
        f.id
        for f in verify(rolled_back, allowed, ("structure",), tries_fixes=False).findings
        if f.severity is Severity.ERROR
    ]
    assert changed == [
        "structure:public.async_jobs:function that bypasses row level security:public.total()",
        "structure:public.async_jobs:view that bypasses row level security:public.totals",
    ]


SUPPORT = "create role support nologin; grant select on public.async_jobs to support"


def test_an_entry_without_a_hash_is_an_error_that_shows_the_entry_with_it(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(SUPPORT)
    reviewed = AllowedEntry("they answer tickets")
    allowed = {"allowed_privileges": {"support: select on public.async_jobs": reviewed}}
    result = verify(rolled_back, replace(EXPECTATIONS, allowed=allowed), ("structure", "access"))
    assert {(f.area, f.severity) for f in result.findings} == {
        ("structure", Severity.ERROR),
        ("access", Severity.ERROR),
    }
    assert all("pins no definition (sha256 " in f.message for f in result.findings)
    pasted = allowing(result)
    assert entries(result)["support: select on public.async_jobs"].reason == "they answer tickets"
    assert verify(rolled_back, pasted, ("structure", "access")).ok


def test_an_exception_does_not_cover_another_privilege(rolled_back: Connection) -> None:
    rolled_back.execute(SUPPORT)
    allowed = allowing(
        verify(rolled_back, EXPECTATIONS, ("structure", "access"), tries_fixes=False)
    )
    rolled_back.execute(
        "grant delete on public.async_jobs to support; grant select on public.guest_users to"
        " support"
    )
    result = verify(rolled_back, allowed, ("structure", "access"), tries_fixes=False)
    assert set(entries(result)) == {
        "support: delete on public.async_jobs",
        "support: select on public.guest_users",
    }
    assert {f.id for f in result.findings if f.severity is not Severity.INFO} == {
        "structure:public.async_jobs:grant:support",
        "structure:public.guest_users:grant:support",
        "access:public.async_jobs:support may DELETE",
        "access:public.guest_users:support may SELECT",
    }


@pytest.mark.parametrize(
    ("areas", "unused"),
    [
        (("structure",), ["allowed_bypasses:public.gone()"]),
        (("access",), []),
        (
            ("structure", "access"),
            ["allowed_bypasses:public.gone()", "allowed_privileges:nobody: select on public.x"],
        ),
    ],
)
def test_an_unused_entry_is_an_info_if_its_areas_are_checked(
    rolled_back: Connection, areas: tuple[str, ...], unused: list[str]
) -> None:
    entry = AllowedEntry("because", "0" * 64)
    exceptions = {
        "allowed_bypasses": {"public.gone()": entry},
        "allowed_privileges": {"nobody: select on public.x": entry},
    }
    result = verify(rolled_back, replace(EXPECTATIONS, allowed=exceptions), areas)
    assert [(f.id, f.severity) for f in result.findings] == [
        (f"structure:{id}", Severity.INFO) for id in unused
    ]


SECOND_FACTOR = """
create policy "second factor" on public.async_jobs as restrictive for delete to authenticated
  using ((select auth.jwt() ->> 'aal') = 'aal2')
"""


def narrowed(result: Verification) -> list[Finding]:
    return [f for f in result.findings if "explains it" in f.message]


def test_cells_that_an_allowed_policy_narrows_are_named(rolled_back: Connection) -> None:
    rolled_back.execute(SECOND_FACTOR)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, tries_fixes=False))
    result = verify(rolled_back, allowed)
    assert result.ok
    names = {f.id.removeprefix("access:") for f in narrowed(result)}
    assert "public.async_jobs:user, its own job:delete" in names
    assert {name for name in names if not name.endswith("delete")} == {
        "functions:delete_worker_state_trigger:the state of a deleted job goes with it"
    }
    assert all(
        f'policy "second factor" on public.async_jobs explains it, and is allowed: {REASON}'
        in f.message
        for f in narrowed(result)
    )
    assert any(grid.mismatches for grid in result.grids)


@pytest.mark.parametrize(
    ("fault", "id"),
    [
        # another cause for the same cells
        (
            'drop policy "users delete their own jobs" on public.async_jobs',
            "public.async_jobs:user, its own job:delete",
        ),
        (
            "create function public.keep() returns trigger language plpgsql as 'begin return null;"
            " end';"
            "create trigger keep before delete on public.async_jobs for each row execute function"
            " public.keep()",
            "public.async_jobs:user, its own job:delete",
        ),
        # another command, another table, a wider outcome
        (
            "create policy no on public.async_jobs as restrictive for select to authenticated"
            " using (false)",
            "public.async_jobs:user, its own job:select",
        ),
        (
            "create policy no on public.guest_users as restrictive using (false)",
            "public.guest_users:guest, its own row:select",
        ),
        (
            "alter table public.async_jobs disable row level security",
            "public.async_jobs:user, another user's job:delete",
        ),
    ],
)
def test_cells_with_another_cause_are_errors(rolled_back: Connection, fault: str, id: str) -> None:
    rolled_back.execute(SECOND_FACTOR)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False))
    rolled_back.execute(fault.encode())
    result = verify(rolled_back, allowed, ("structure", "access"), tries_fixes=False)
    assert Severity.ERROR in {f.severity for f in result.findings if f.id == f"access:{id}"}
    assert narrowed(result) == []


def test_only_the_structure_area_shows_that_a_policy_is_the_only_cause(
    rolled_back: Connection,
) -> None:
    rolled_back.execute(SECOND_FACTOR)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, tries_fixes=False))
    alone = verify(rolled_back, allowed, ("access",), tries_fixes=False)
    assert not alone.ok
    assert {f.id for f in alone.findings} == alone.downgradable


def test_scenario_that_requires_a_narrowed_one_is_unchecked(
    rolled_back: Connection, tmp_path: Path
) -> None:
    (tmp_path / "structure.json").write_text(EXPECTATIONS.declaration("structure.json").read_text())
    (tmp_path / "functions.toml").write_text(
        'ids = ["user"]\nfixture = ["insert into auth.users (id) values (%(user)s)",'
        ' "insert into public.async_jobs (id, url, user_id) values (%(user)s,'
        " 'https://x.example', %(user)s)\"]\n"
        'watch = "select id::text, to_jsonb(j)::text, null from public.async_jobs as j'
        ' where id = %(user)s"\n'
        "[identities.user]\nrole = 'authenticated'\nclaims ="
        " {sub = '$user', role = 'authenticated'}\n"
        "[[scenario]]\nsubject = 'x'\nname = 'deletes'\nas = 'user'\n"
        "call = 'delete from public.async_jobs where id = %(user)s'\nchanges ="
        " { user = 'deleted' }\n"
        "[[scenario]]\nsubject = 'x'\nname = 'requires it'\nrequires = ['deletes']\ncall ="
        " 'select'\n"
    )
    rolled_back.execute(SECOND_FACTOR)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False))
    result = verify(rolled_back, replace(allowed, directory=tmp_path), ("structure", "functions"))
    assert [(f.id, f.severity) for f in result.findings if f.area == "functions"] == [
        ("functions:x:requires it", Severity.WARNING),
        ("functions:x:deletes", Severity.INFO),
    ]
    assert result.unchecked == ("functions",)


def test_mutate_accepts_a_database_with_exceptions(
    rolled_back: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run of all areas finds that the policy explains the cells of the first run."""
    rolled_back.execute(SECOND_FACTOR + ";" + SUPPORT)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, tries_fixes=False))
    monkeypatch.setattr("supabase_jobs.mutation.mutate.derive", lambda *_: [])
    assert mutate(rolled_back, allowed).mutants == ()


@pytest.mark.parametrize("section", ["allowed_bypasses", "allowed_privileges"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('""', "needs a reason"),
        ("{}", "needs a reason"),
        (f'{{ sha256 = "{"0" * 64}" }}', "needs a reason"),
        ('{ reason = "x", until = 2 }', "unknown key 'until'"),
        ('{ reason = "x", sha256 = "abc" }', "'sha256' must be 64 hexadecimal digits"),
    ],
)
def test_an_invalid_entry_is_refused_with_its_line(
    tmp_path: Path, section: str, value: str, problem: str
) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(
        f'# exceptions\n[{section}]\n"public.stats()" = {value}\n'
    )
    with pytest.raises(ConfigError, match=f"{section}: 'public.stats\\(\\)'.*{problem}") as caught:
        load_settings(tmp_path, {})
    assert caught.value.line == 3


@pytest.mark.parametrize("value", ['"counts"', '{ reason = "counts" }'])
def test_an_entry_is_a_reason_or_a_table(tmp_path: Path, value: str) -> None:
    (tmp_path / "supabase-jobs.toml").write_text(
        f'[allowed_bypasses]\n"public.stats()" = {value}\n'
    )
    assert load_settings(tmp_path, {}).allowed["allowed_bypasses"] == {
        "public.stats()": AllowedEntry("counts")
    }


def test_the_entries_of_the_text_report_can_be_pasted(
    make_database: Make, cli: Run, tmp_path: Path
) -> None:
    """Below what the file already has; names with quotes and backslashes too."""
    database = make_database("applied")
    with psycopg.connect(database.superuser_url, autocommit=True) as connection:
        connection.execute(
            'create policy "it\'s \\ ""so""" on public.async_jobs as restrictive to anon using (true);'
            "create view public.all_jobs as select * from public.async_jobs; grant select on"
            " public.all_jobs to anon"
        )
    config = tmp_path / "supabase-jobs.toml"
    config.write_text('[allowed_bypasses]\n"public.gone" = "it was dropped"\n')
    ran = cli("verify", "--only", "structure", "--db-url", database.url)
    assert ran.code == 1
    entry = [
        line[4:]
        for line in ran.out.splitlines()
        if line.startswith(("    [allowed_", "    reason = ", "    sha256 = "))
    ]
    assert len(entry) == 6
    config.write_text(config.read_text() + "\n".join(entry) + "\n")
    ran = cli("verify", "--only", "structure", "--json", "--db-url", database.url)
    findings: list[dict[str, Any]] = ran.json["findings"]
    assert (ran.code, {f["severity"] for f in findings}, len(findings)) == (0, {"info"}, 3)


def test_exceptions_take_no_round_trip_without_a_finding(shared: Callable[[int], str]) -> None:
    entry = AllowedEntry("because", "0" * 64)
    expectations = replace(EXPECTATIONS, allowed={"allowed_bypasses": {"public.gone()": entry}})
    with (
        psycopg.connect(shared(16), autocommit=True) as connection,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("supabase_jobs.verify.allowed.pins.read", None)
        assert verify(connection, expectations, ("structure", "access")).ok


OWN_COLUMNS = """
revoke update on public.async_jobs from authenticated;
grant update (status, progress) on public.async_jobs to authenticated
"""


def test_fewer_privileges_can_be_allowed(rolled_back: Connection) -> None:
    """UPDATE of two columns instead of the table; the other updates are denied."""
    rolled_back.execute(OWN_COLUMNS)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, tries_fixes=False))
    result = verify(rolled_back, allowed, tries_fixes=False)
    assert result.ok, [f.id for f in result.findings if f.severity is Severity.ERROR]
    assert "authenticated: no update on public.async_jobs" in by_name(allowed)
    names = {f.id.removeprefix("access:") for f in narrowed(result)}
    assert "public.async_jobs:user, its own job:take over" in names
    cells = [name.split(":") for name in names if not name.startswith("functions:")]
    assert all(row.startswith("user") for _, row, _ in cells)


@pytest.mark.parametrize(
    ("fault", "id"),
    [
        ("revoke update (progress) on public.async_jobs from authenticated", "grant"),
        ("revoke delete on public.async_jobs from authenticated", "grant"),
        ("grant update (user_id) on public.async_jobs to authenticated", "grant of column:user_id"),
    ],
)
def test_another_privilege_than_the_allowed_is_an_error(
    rolled_back: Connection, fault: str, id: str
) -> None:
    rolled_back.execute(OWN_COLUMNS)
    allowed = allowing(verify(rolled_back, EXPECTATIONS, ("structure",), tries_fixes=False))
    rolled_back.execute(fault.encode())
    result = verify(rolled_back, allowed, ("structure", "access"), tries_fixes=False)
    errors = {f.id for f in result.findings if f.severity is Severity.ERROR}
    assert any(error.startswith(f"structure:public.async_jobs:{id}") for error in errors)
    assert narrowed(result) == []
