-- Runs a statement for which a hosted project lets postgres act as the superuser: event triggers, settings of roles, and
-- the schema of an extension. Event triggers are disabled meanwhile; they do not fire for the other statements.
-- It exists while files are loaded.
create or replace function supabase_jobs_load.as_superuser(statement text) returns void
language plpgsql security definer
as $$
declare
  name text;
  state text;
  enabling text [] := '{}';
begin
  if
    statement !~* '^\s*((create|alter|drop)\s+event\s+trigger\s|alter\s+role\s|alter\s+extension\s.*\sset\s+schema\s)'
    or statement ~ ';'
  then
    raise exception 'not allowed: %', statement using errcode = '42501';
  end if;
  if statement ~* '^\s*alter\s+extension\s' then
    for name, state in select e.evtname, e.evtenabled from pg_event_trigger as e where e.evtenabled <> 'D' loop
      execute format('alter event trigger %I disable', name);
      enabling := enabling || format(
        'alter event trigger %I enable %s', name, case state when 'A' then 'always' when 'R' then 'replica' else '' end
      );
    end loop;
  end if;
  execute statement;
  foreach statement in array enabling loop
    execute statement;
  end loop;
end;
$$
