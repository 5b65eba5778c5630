-- Triggers with their definitions, and whether they are enabled.
select
  format('%I.%I', n.nspname, c.relname) as object,
  'trigger' as kind,
  t.tgname as name,
  pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' when 'D' then ' (disabled)' when 'A' then ' (always)' else ' (replica only)' end
    as value,
  pg_get_triggerdef(t.oid) || ';' as create_sql,
  format('drop trigger %I on %I.%I;', t.tgname, n.nspname, c.relname) as drop_sql,
  -- A BEFORE trigger can change or discard a row. One that does the same for each row and returns it as it is does so when
  -- it is tried, if the tables that it mentions take any row and show requests none.
  case
    when t.tgtype & 2 = 0 then 'info'
    when t.tgqual is null
      and l.lanname = 'plpgsql'
      and b.text !~* '\m(if|case|when|loop|while|limit|where|exists|raise|exception|execute|perform|select|update|delete|truncate|merge)\M'
      and b.text !~* '\mnew\s*(\.\s*("[^"]+"|\w+)\s*)?:?=|\minto\s+(strict\s+)?new\M'
      and b.text ~* '\mreturn\s+(new|old)\s*;\s*end\s*;?\s*$'
      and not exists (
        select
        from pg_class as r
        inner join pg_namespace as m on r.relnamespace = m.oid
        where r.relkind in ('r', 'p', 'v', 'm', 'f')
          and m.nspname not in ('pg_catalog', 'information_schema')
          and r.oid <> c.oid
          and b.text ~* ('\m' || regexp_replace(r.relname, '(\W)', '\\\1', 'g') || '\M')
          and (
            exists (
              select
              from unnest(array['anon', 'authenticated']) as x (name)
              where has_schema_privilege(x.name, m.oid, 'usage')
                and has_any_column_privilege(x.name, r.oid, 'select')
                and (
                  not r.relrowsecurity
                  or exists (
                    select 1 from pg_policy as y
                    where y.polrelid = r.oid and y.polcmd in ('r', '*')
                  )
                )
            )
            -- it may refuse a row that is not tried
            or r.relkind <> 'r'
            or r.relhastriggers
            or exists (
              select 1 from pg_constraint as k
              where k.conrelid = r.oid and k.contype not in ('p', 'n')
            )
            or exists (
              select 1 from pg_index as i
              where i.indrelid = r.oid and i.indisunique and not i.indisprimary
            )
            or exists (
              select 1 from pg_attribute as a
              where a.attrelid = r.oid
                and a.attnum > 0
                and not a.attisdropped
                and (a.atttypmod >= 0 or (a.attnotnull and not a.atthasdef and a.attidentity = ''))
            )
          )
      )
      then 'untried'
    else 'warning'
  end as unexpected_severity,
  'error' as deviation_severity
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_proc as f on t.tgfoid = f.oid
inner join pg_language as l on f.prolang = l.oid
cross join lateral (select regexp_replace(regexp_replace(f.prosrc, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as text) as b
where format('%I.%I', n.nspname, c.relname) = any($1)
  and not t.tgisinternal
