-- No trigger of a managed table sends guest ids or whole rows by NOTIFY: every session that listens to the channel gets them,
-- and row level security does not apply.
-- The function of tcn sends the primary key. Of others the rule reads the body.
select
  m.name as object,
  t.tgname::text as name,
  format(
    'trigger %I sends %s by NOTIFY: every session that listens gets it, whatever its role',
    t.tgname, case when f.is_tcn then 'the guest id' else 'guest ids or whole rows' end
  ) as message,
  format('drop trigger %I on %s;', t.tgname, m.name) as fix,
  'warning' as severity,
  '{}'::text[] as facts
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_proc as p on t.tgfoid = p.oid
inner join pg_language as l on p.prolang = l.oid
cross join lateral (select format('%I.%I', n.nspname, c.relname) as name) as m
cross join lateral (
  select
    l.lanname = 'c' and p.proname = 'triggered_change_notification' as is_tcn,
    regexp_replace(regexp_replace(p.prosrc, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as body
) as f
where ($1::jsonb -> 'managed') ? m.name
  and not t.tgisinternal
  and t.tgenabled <> 'D'
  and case
    when f.is_tcn then exists (
        select from pg_index as i
        inner join pg_attribute as a on i.indrelid = a.attrelid and a.attnum = any(i.indkey)
        where i.indrelid = c.oid and i.indisprimary and a.attname = 'guest_id'
      )
    else f.body ~* '\m(pg_)?notify\M'
      and f.body ~* '\mguest_id\M|\m(to_jsonb?|row_to_json|hstore)\s*\(\s*(new|old)\s*[,)]|\m(new|old)(\.\*)?\s*::\s*text'
  end
