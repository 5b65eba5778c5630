-- Which tables are there, whose are they, and is row level security on?
select
  format('%I.%I', n.nspname, c.relname) as object,
  v.kind,
  '' as name,
  v.value,
  v.mend,
  '' as remove,
  'error' as unexpected
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  values
  ('table', case c.relkind when 'p' then 'partitioned table' when 'v' then 'view' else 'table' end, ''),
  ('owner', pg_get_userbyid(c.relowner),
    format('alter table %I.%I owner to %I;', n.nspname, c.relname, pg_get_userbyid(c.relowner))),
  ('row level security', case when c.relrowsecurity then 'on' else 'off' end,
    format('alter table %I.%I %s row level security;', n.nspname, c.relname,
      case when c.relrowsecurity then 'enable' else 'disable' end)),
  ('row level security for the owner', case when c.relforcerowsecurity then 'forced' else 'not forced' end,
    format('alter table %I.%I %s row level security;', n.nspname, c.relname,
      case when c.relforcerowsecurity then 'force' else 'no force' end))
) as v (kind, value, mend)
where format('%I.%I', n.nspname, c.relname) = any($1)
