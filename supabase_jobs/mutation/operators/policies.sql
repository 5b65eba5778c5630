-- Policies: dropped, always true, negated, extended to nulls, with the expression of another policy, for more or other
-- roles, for another command, restrictive instead of permissive.
with policy as (
  select
    p.oid,
    p.polrelid,
    p.polname,
    p.polroles,
    format('%I.%I', n.nspname, c.relname) as object,
    case p.polpermissive when true then 'permissive' else 'restrictive' end as mode,
    case p.polpermissive when true then 'restrictive' else 'permissive' end as other_mode,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end
      as command,
    (
      select string_agg(case r.oid when 0 then 'public' else quote_ident(pg_get_userbyid(r.oid)) end, ', ' order by 1)
      from unnest(p.polroles) as r (oid)
    ) as roles,
    pg_get_expr(p.polqual, p.polrelid) as visible,
    pg_get_expr(p.polwithcheck, p.polrelid) as allowed,
    format('alter policy %I on %I.%I ', p.polname, n.nspname, c.relname) as altered,
    format('drop policy %I on %I.%I;', p.polname, n.nspname, c.relname) as dropped,
    format('create policy %I on %I.%I ', p.polname, n.nspname, c.relname) as created
  from pg_policy as p
  inner join pg_class as c on p.polrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where format('%I.%I', n.nspname, c.relname) = any($1)
),

mutant as (
  select
    p.object,
    p.polname,
    v.operator,
    '{}'::text[] as part,
    v.description,
    v.sql
  from policy as p
  cross join lateral (
    values
    ('drop', 'dropped', p.dropped),
    ('using-true', 'USING is true', case when p.visible <> 'true' then p.altered || 'using (true);' end),
    ('using-negated', 'USING is negated', p.altered || 'using (not (' || p.visible || '));'),
    ('check-true', 'WITH CHECK is true',
      case when p.allowed <> 'true' or (p.allowed is null and p.visible <> 'true' and p.command in ('update', 'all'))
        then p.altered || 'with check (true);' end),
    ('check-negated', 'WITH CHECK is negated', p.altered || 'with check (not (' || p.allowed || '));'),
    ('check-left-out', 'WITH CHECK removed',
      case when p.allowed <> p.visible
        then p.dropped || p.created || concat_ws(' ', 'as', p.mode, 'for', p.command, 'to', p.roles,
          'using (' || p.visible || ');') end),
    ('swapped', 'USING and WITH CHECK swapped',
      case when p.allowed <> p.visible
        then p.altered || 'using (' || p.allowed || ') with check (' || p.visible || ');' end),
    ('to-public', 'for PUBLIC', case when p.polroles <> '{0}' then p.altered || 'to public;' end),
    ('mode', p.other_mode,
      p.dropped || p.created || concat_ws(' ', 'as', p.other_mode, 'for', p.command, 'to', p.roles,
        'using (' || p.visible || ')', 'with check (' || p.allowed || ')') || ';')
  ) as v (operator, description, sql)
  union all
  select
    p.object,
    p.polname,
    v.operator || r.name,
    '{}',
    format(v.description, r.name),
    p.altered || v.roles || format('%I;', r.name)
  from policy as p
  cross join unnest(array['anon', 'authenticated', 'service_role']) as r (name)
  cross join lateral (
    values
    ('to-', 'for %s too', 'to ' || p.roles || ', '),
    ('to-only-', 'for %s instead', 'to ')
  ) as v (operator, description, roles)
  where p.polroles <> '{0}'
    and not to_regrole(r.name)::oid = any(p.polroles)
  union all
  select
    p.object,
    p.polname,
    v.operator,
    array[a.attname::text],
    format('%s also passes if column "%s" is null', v.clause, a.attname),
    p.altered || format('%s (%s or %I is null);', v.clause, v.expression, a.attname)
  from policy as p
  cross join lateral (
    values
    ('using-or-null', 'using', p.visible),
    ('check-or-null', 'with check', coalesce(p.allowed, case when p.command in ('update', 'all') then p.visible end))
  ) as v (operator, clause, expression)
  inner join pg_attribute as a on p.polrelid = a.attrelid and not a.attnotnull
  where v.expression is not null
    and exists (
      select 1 from pg_depend as d
      where d.classid = 'pg_policy'::regclass
        and d.objid = p.oid
        and d.refclassid = 'pg_class'::regclass
        and d.refobjid = a.attrelid
        and d.refobjsubid = a.attnum
    )
  union all
  select
    p.object,
    p.polname,
    v.operator,
    array[o.polname::text],
    format('%s is that of "%s"', v.clause, o.polname),
    p.altered || format('%s (%s);', v.clause, o.expression)
  from policy as p
  cross join lateral (
    values
    ('using-of', 'using', p.visible),
    ('check-of', 'with check', coalesce(p.allowed, case when p.command in ('update', 'all') then p.visible end))
  ) as v (operator, clause, expression)
  inner join (
    select
      q.object,
      min(q.polname) as polname,
      e.expression
    from policy as q
    cross join lateral (values (q.visible), (q.allowed)) as e (expression)
    where e.expression not in ('true', 'false')
    group by q.object, e.expression
  ) as o on p.object = o.object and v.expression <> o.expression
  union all
  select
    p.object,
    p.polname,
    'for-' || w.command,
    '{}',
    format('for %s instead of %s', w.command, p.command),
    p.dropped || p.created || concat_ws(' ', 'as', p.mode, 'for', w.command, 'to', p.roles,
      case when w.command <> 'insert' then 'using (' || coalesce(p.visible, p.allowed) || ')' end,
      case when w.command not in ('select', 'delete') then 'with check (' || coalesce(p.allowed, p.visible) || ')' end)
    || ';'
  from policy as p
  cross join unnest(array['select', 'insert', 'update', 'delete', 'all']) as w (command)
  where w.command <> p.command
    -- FOR ALL changes nothing if policies with the same expressions cover the other commands
    and not (w.command = 'all' and not exists (
      select 1 from unnest(array['select', 'insert', 'update', 'delete']) as c (command)
      where not exists (
        select 1 from policy as o
        where o.object = p.object and o.polroles = p.polroles and o.mode = p.mode and o.command = c.command
          and coalesce(o.visible, o.allowed) = coalesce(p.visible, p.allowed)
          and coalesce(o.allowed, o.visible) = coalesce(p.allowed, p.visible)
      )
    ))
)

select
  array[m.operator, m.object, m.polname] || m.part as id,
  m.object,
  format('policy "%s": %s', m.polname, m.description) as description,
  m.sql,
  m.description as change
from mutant as m
where m.sql is not null
