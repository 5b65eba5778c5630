-- Autovacuum runs for every managed table: otherwise its dead rows stay, and claims become slow.
select
  o.object,
  '' as name,
  'autovacuum is switched off: dead rows stay, and every query reads them' as message,
  format('alter table %s reset (%s);', o.object, string_agg(o.option, ', ' order by o.option)) as fix,
  'warning' as severity,
  '{}'::text[] as facts
from (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    'autovacuum_enabled' as option,
    c.reloptions as options
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
  union all
  select
    format('%I.%I', n.nspname, c.relname),
    'toast.autovacuum_enabled',
    t.reloptions
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_class as t on c.reltoastrelid = t.oid
) as o
cross join lateral pg_options_to_table(o.options) as p
where p.option_name = 'autovacuum_enabled'
  and not p.option_value::boolean
  and ($1::jsonb -> 'managed') ? o.object
group by o.object
union all
select
  'server',
  s.name,
  format('%s is off: dead rows stay, and every query reads them', s.name),
  format('alter system reset %I; select pg_reload_conf();', s.name),
  'warning',
  '{}'
from pg_settings as s
where s.name in ('autovacuum', 'track_counts')
  and s.reset_val = 'off'
  and s.source <> 'client'
