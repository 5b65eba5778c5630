-- Tables: owner, row level security, persistence, replica identity. Views: options and definition.
select
  format('%I.%I', n.nspname, c.relname) as object,
  v.kind,
  '' as name,
  v.value,
  v.create_sql,
  '' as drop_sql,
  'error' as unexpected_severity,
  case
    when v.kind = 'replica identity' then 'warning'
    -- has no effect
    when v.kind = 'row level security for the owner' and exists (
      select from pg_roles as r
      where r.oid = c.relowner and (r.rolbypassrls or r.rolsuper)
    ) then 'warning'
    else 'error'
  end as deviation_severity
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  values
  ('table', case c.relkind when 'p' then 'partitioned table' when 'v' then 'view' when 'm' then 'materialized view' else 'table' end,
    -- a new table has the default privileges of its owner
    case when c.relkind = 'r'
      then format(E'create table %1$I.%2$I ();\nrevoke all on table %1$I.%2$I from public, anon, authenticated, service_role;',
        n.nspname, c.relname)
      else ''
    end),
  ('owner', pg_get_userbyid(c.relowner),
    format('alter table %I.%I owner to %I;', n.nspname, c.relname, pg_get_userbyid(c.relowner))),
  ('row level security', case when c.relrowsecurity then 'on' else 'off' end,
    format('alter table %I.%I %s row level security;', n.nspname, c.relname,
      case when c.relrowsecurity then 'enable' else 'disable' end)),
  ('row level security for the owner', case when c.relforcerowsecurity then 'forced' else 'not forced' end,
    format('alter table %I.%I %s row level security;', n.nspname, c.relname,
      case when c.relforcerowsecurity then 'force' else 'no force' end)),
  ('persistence', case c.relpersistence when 'p' then 'permanent' when 'u' then 'unlogged' else 'temporary' end,
    format('alter table %I.%I set logged;', n.nspname, c.relname)),
  ('replica identity', case c.relreplident when 'd' then 'default' when 'n' then 'nothing' when 'f' then 'full' else 'index' end,
    format('alter table %I.%I replica identity %s;', n.nspname, c.relname,
      case c.relreplident when 'n' then 'nothing' when 'f' then 'full' else 'default' end)),
  ('options', case when c.relkind in ('v', 'm') then coalesce(array_to_string(c.reloptions, ', '), 'none') end,
    format('alter view %I.%I set (%s);', n.nspname, c.relname, array_to_string(c.reloptions, ', '))),
  ('definition', case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
    format('create or replace view %I.%I as %s', n.nspname, c.relname,
      case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end))
) as v (kind, value, create_sql)
where format('%I.%I', n.nspname, c.relname) = any($1)
  and c.relkind <> 'c'
  and v.value is not null
