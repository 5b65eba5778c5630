"""Secrets in rows that members of a group read."""

import pytest

from supabase_jobs.database.connection import Connection
from tests.audit.conftest import run_audit

INTEGRATIONS = """
create table public.integrations (
  id uuid primary key default gen_random_uuid(), team_id uuid not null references public.teams,
  name text not null, api_key text not null
);
alter table public.integrations enable row level security;
create policy "of the team" on public.integrations for select to authenticated
using (team_id in (select m.team_id from public.team_members as m where m.user_id = (select auth.uid())));
"""
COLUMNS = """
revoke select on public.integrations from anon, authenticated;
grant select (id, team_id, name) on public.integrations to authenticated;
"""


@pytest.mark.parametrize("project", ["teams"], indirect=True)
def test_members_who_read_a_secret_are_a_question(project: Connection) -> None:
    known = {f.id for f in run_audit(project, repairs=False).findings}
    project.execute(INTEGRATIONS.encode())
    found = {
        str(f.id): f.message
        for f in run_audit(project, repairs=False).findings
        if f.id not in known
    }
    assert "public.integrations.api_key" in found["secret-column:public.team_members"]
    project.execute(COLUMNS.encode())
    assert "secret-column:public.team_members" not in {
        f.id for f in run_audit(project, repairs=False).findings
    }
