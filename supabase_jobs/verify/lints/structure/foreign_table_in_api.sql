-- No foreign table that requests can read is a managed table, a copy of one, or a table of Auth or Vault.
-- Foreign tables have no row level security, and the server is asked as the user of the mapping. Another foreign table in an
-- exposed schema is a warning. Supabase's advisor 0017.
select
  o.object,
  '' as name,
  format(
    case
      when w.reason is null then '%s can read it%s, and a foreign table has no row level security'
      else '%s can read it%s, a foreign table without row level security: ' || w.reason
    end,
    callers.names, case when ($1::jsonb -> 'exposed') ? n.nspname then ' through the API' else '' end
  ) as message,
  format('revoke all on table %s from public, anon, authenticated;', o.object) as fix,
  case when w.reason is null and not ($1::jsonb -> 'managed') ? o.object then 'warning' else 'error' end as severity,
  -- bypass_copies.sql reports some of them
  (
    select array_agg(m.name || ':copy without row level security:' || o.object)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as m (name)
  ) as facts,
  true as accepted_by_name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_foreign_table as f on c.oid = f.ftrelid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as object) as o
cross join lateral (
  select string_agg(r.rolname, ' and ' order by r.rolname) as names
  from pg_roles as r
  where r.rolname in ('anon', 'authenticated')
    and has_any_column_privilege(r.oid, c.oid, 'select, insert, update')
    and has_schema_privilege(r.oid, n.oid, 'usage')
) as callers
cross join lateral (
  select min(s.reason) as reason
  from (
    select format('its options name schema %s', p.option_value) as reason
    from pg_options_to_table(f.ftoptions) as p
    where p.option_name ~ '^schema' and p.option_value in ('auth', 'vault')
    union all
    select format('its options name %s', m.name)
    from jsonb_array_elements_text($1::jsonb -> 'managed') as m (name)
    cross join pg_options_to_table(f.ftoptions) as p
    where m.name like '%.%'
      and m.name not like '%(%'
      and p.option_value ~* ('(?<![\w$])' || regexp_replace(split_part(m.name, '.', 2), '(\W)', '\\\1', 'g') || '(?![\w$])')
    union all
    -- a part of the columns, as an export has them
    select format('each of its columns is one of %s', format('%I.%I', k.nspname, t.relname))
    from pg_class as t
    inner join pg_namespace as k on t.relnamespace = k.oid
    where ($1::jsonb -> 'managed') ? format('%I.%I', k.nspname, t.relname)
      and t.oid <> c.oid
      and (
        select count(*) >= 3 and bool_and(b.attname is not null)
        from pg_attribute as a
        left join pg_attribute as b
          on b.attrelid = t.oid and a.attname = b.attname and a.atttypid = b.atttypid and b.attnum > 0 and not b.attisdropped
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      )
  ) as s
) as w
where callers.names is not null
  and (w.reason is not null or ($1::jsonb -> 'exposed') ? n.nspname)
