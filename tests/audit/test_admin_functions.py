"""Functions for administrators: those that ask who calls are no finding, those that forget are."""

import pytest

from supabase_jobs.database.connection import Connection
from supabase_jobs.findings import Severity
from tests.audit.conftest import run_audit

_DEFINER = "language plpgsql security definer set search_path = public as"
PROFILES = f"""
create table profiles (
  user_id uuid primary key references auth.users, role text not null default 'support' check (role in ('admin', 'support'))
);
alter table profiles enable row level security;
create policy "own entry" on profiles for select using (user_id = auth.uid());
create policy "sign up" on profiles for insert with check (user_id = auth.uid() and role = 'support');
create function is_admin() returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from profiles where user_id = auth.uid() and role = 'admin') $$;
create function has_admins() returns boolean language sql stable security definer set search_path = public
as $$ select exists (select from profiles where role = 'admin') $$;
create policy "admins" on lists for select to authenticated using (is_admin());
create function lists_for_admins() returns setof lists {_DEFINER} $$ begin
  if not is_admin() then raise exception 'only for administrators' using errcode = '42501'; end if;
  return query select * from lists;
end $$;
create function rename_list(list uuid, new_name text) returns void {_DEFINER} $$ begin
  if not is_admin() then raise exception 'only for administrators'; end if;
  update lists set name = new_name where id = list;
end $$;
"""
# true for everybody as soon as anybody is an administrator
FORGETS = f"""
create function all_lists() returns setof lists {_DEFINER} $$ begin
  if not has_admins() then raise exception 'only for administrators'; end if;
  return query select * from lists;
end $$
"""


def found(project: Connection) -> set[str]:
    """The errors and warnings."""
    strong = (Severity.ERROR, Severity.WARNING)
    return {f.id for f in run_audit(project, repairs=False).findings if f.severity in strong}


@pytest.mark.parametrize("project", ["todos"], indirect=True)
def test_helper_that_forgets_who(project: Connection) -> None:
    project.execute(PROFILES.encode())
    known = found(project)
    assert not {id_ for id_ in known if "_lists" in id_ or "rename" in id_ or "for_admins" in id_}
    project.execute(FORGETS.encode())
    assert found(project) - known == {"function-reads:public.all_lists()"}
