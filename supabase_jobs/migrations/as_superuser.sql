-- Runs a statement for which a hosted project lets postgres act as the superuser: event triggers, settings of roles, and
-- the schema of an extension.
-- It exists while files are loaded.
create or replace function supabase_jobs_load.as_superuser(statement text) returns void
language plpgsql security definer
as $$
begin
  if
    statement !~* '^\s*((create|alter|drop)\s+event\s+trigger\s|alter\s+role\s|alter\s+extension\s.*\sset\s+schema\s)'
    or statement ~ ';'
  then
    raise exception 'not allowed: %', statement using errcode = '42501';
  end if;
  execute statement;
end;
$$
