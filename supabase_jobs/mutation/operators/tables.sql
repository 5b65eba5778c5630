-- Tables: row level security switched, a policy added, a rule or trigger that discards writes, owner changed, table
-- dropped. Views: security_invoker switched off.
select
  array[v.operator, t.object] as id,
  t.object,
  v.description,
  v.sql
from (
  select
    c.*,
    quote_ident(n.nspname) as schema,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p')
) as t
cross join lateral (
  select
    'rls-' || case when t.relrowsecurity then 'off' else 'on' end as operator,
    'row level security is ' || case when t.relrowsecurity then 'off' else 'on' end as description,
    format('alter table %s %s row level security;', t.object, case when t.relrowsecurity then 'disable' else 'enable' end)
      as sql
  union all
  select
    'rls-forced',
    'row level security for the owner is ' || case when t.relforcerowsecurity then 'off' else 'on' end,
    format('alter table %s %s row level security;', t.object,
      case when t.relforcerowsecurity then 'no force' else 'force' end)
  -- changes nothing if the owner bypasses row level security
  where not exists (
    select from pg_roles as r
    where r.oid = t.relowner and (r.rolbypassrls or r.rolsuper)
  )
  union all
  select
    format('policy-%s-%s', w.command, r.name),
    format('a policy added that allows %s every row for %s', r.name, w.command),
    format('create policy mutant on %s for %s to %I %s %s;', t.object, w.command, r.name, w.visible, w.allowed)
  from unnest(array['anon', 'authenticated', 'service_role']) as r (name)
  cross join (
    values
    ('all', 'using (true)', 'with check (true)'),
    ('select', 'using (true)', ''),
    ('insert', '', 'with check (true)'),
    ('update', 'using (true)', ''),
    ('delete', 'using (true)', '')
  ) as w (command, visible, allowed)
  where to_regrole(r.name) is not null
    -- changes nothing if a policy already allows the role everything
    and not exists (
      select 1 from pg_policy as p
      where p.polrelid = t.oid
        and to_regrole(r.name)::oid = any(p.polroles)
        and p.polpermissive
        and p.polcmd = '*'
        and pg_get_expr(p.polqual, p.polrelid) = 'true'
        and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'true') = 'true'
    )
  union all
  select
    'policy-all-public',
    'a policy added that allows PUBLIC everything',
    format('create policy mutant on %s to public using (true) with check (true);', t.object)
  union all
  select
    'rule-' || e.name,
    format('a rule that discards every %s', e.name),
    format('create rule mutant as on %s to %s do instead nothing;', e.name, t.object)
  from unnest(array['insert', 'update', 'delete']) as e (name)
  union all
  select
    'trigger-' || e.name,
    format('a trigger that discards every %s', e.name),
    format('create function %s.mutant() returns trigger language plpgsql as ''begin return null; end'';'
      'create trigger mutant before %s on %s for each row execute function %s.mutant();',
      t.schema, e.name, t.object, t.schema)
  from unnest(array['insert', 'update', 'delete']) as e (name)
  union all
  select
    'owner',
    'owned by service_role',
    format('grant create on schema %s to service_role; alter table %s owner to service_role;'
      'revoke create on schema %s from service_role;', t.schema, t.object, t.schema)
  union all
  select
    'drop',
    'dropped with CASCADE',
    format('drop table %s cascade;', t.object)
) as v
where t.object = any($1)
union all
select
  array['view-definer', v.object],
  v.object,
  'security_invoker is off',
  format('alter view %s reset (security_invoker);', v.object)
from (
  select format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind = 'v'
    and exists (
      select from pg_options_to_table(c.reloptions) as o
      where o.option_name = 'security_invoker' and o.option_value::boolean
    )
) as v
where v.object = any($1)
