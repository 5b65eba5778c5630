-- Functions: result, owner, language, security, settings, volatility, null input, parallel safety, leakproof, cost. It
-- includes overloads of managed functions that the migrations do not create, because a request can call them.
select
  f.object,
  v.kind,
  '' as name,
  v.value,
  v.create_sql,
  case
    when v.kind = 'function' then format('drop function %s;', f.object)
    when v.kind = 'other settings' then s.reset_others
    -- what was added would stay beside what is set again
    when v.kind = 'settings' and f.proconfig is not null then format('alter function %s reset all;', f.object)
    else ''
  end as drop_sql,
  -- an owner who bypasses row level security is not restricted by it: a call shows that
  case when v.kind <> 'other settings' then 'error' when s.others = 'row_security=off' then 'untried' else 'warning' end
    as unexpected_severity,
  case v.kind when 'cost' then 'warning' else 'error' end as deviation_severity
from (
  select
    p.*,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.pronamespace <> 'pg_catalog'::regnamespace -- which has thousands of functions
) as f
inner join pg_language as l on f.prolang = l.oid
cross join lateral (
  select case f.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end as parallel
) as g
cross join lateral (
  -- whether policies restrict nobody as whom it runs
  select
    (o.rolbypassrls or o.rolsuper)
    and (
      f.prosecdef
      or f.prorettype <> 'trigger'::regtype
      and not exists (
        select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as a
        left join pg_roles as g on a.grantee = g.oid
        where not coalesce(g.rolbypassrls or g.rolsuper, false)
      )
    ) as bypasses
  from pg_roles as o
  where o.oid = f.proowner
) as b
cross join lateral (
  -- sorted, because the order has no meaning; an empty search_path is stored as "", a list of one empty name
  select
    string_agg(c.setting, ', ' order by c.setting) filter (where not c.changes_no_result) as found,
    string_agg(
      format('set %s = %L', c.name, case c.value when '""' then '' else c.value end), ' ' order by c.setting
    ) filter (where not c.changes_no_result) as wanted,
    string_agg(c.setting, ', ' order by c.setting) filter (where c.changes_no_result) as others,
    string_agg(format('alter function %s reset %s;', f.object, c.name), ' ' order by c.setting)
    filter (where c.changes_no_result) as reset_others
  from (
    select
      u.setting,
      n.name,
      substr(u.setting, strpos(u.setting, '=') + 1) as value,
      n.name in ('lock_timeout', 'statement_timeout') or (n.name = 'row_security' and b.bypasses) as changes_no_result
    from unnest(f.proconfig) as u (setting)
    cross join lateral (select split_part(u.setting, '=', 1) as name) as n
  ) as c
) as s
cross join lateral (
  values
  -- a new function has the default privileges of its owner
  ('function', pg_get_function_result(f.oid),
    format('revoke all on function %s from public, anon, authenticated, service_role;', f.object)),
  ('owner', pg_get_userbyid(f.proowner)::text,
    format('alter function %s owner to %I;', f.object, pg_get_userbyid(f.proowner))),
  ('language', l.lanname::text, ''),
  ('security', case when f.prosecdef then 'definer' else 'invoker' end,
    format('alter function %s security %s;', f.object, case when f.prosecdef then 'definer' else 'invoker' end)),
  ('settings', coalesce(s.found, 'none'),
    format('alter function %s %s;', f.object, coalesce(s.wanted, 'reset all'))),
  ('other settings', s.others, ''),
  ('volatility', case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
    format('alter function %s %s;', f.object,
      case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end)),
  ('null input', case when f.proisstrict then 'returns null' else 'called' end,
    format('alter function %s %s on null input;', f.object,
      case when f.proisstrict then 'returns null' else 'called' end)),
  ('parallel', g.parallel, format('alter function %s parallel %s;', f.object, g.parallel)),
  ('leakproof', case when f.proleakproof then 'leakproof' else 'not leakproof' end,
    format('alter function %s %s;', f.object, case when f.proleakproof then 'leakproof' else 'not leakproof' end)),
  ('cost', format('%s, for %s rows', f.procost, f.prorows),
    format('alter function %s cost %s', f.object, f.procost)
    || case when f.proretset then format(' rows %s;', f.prorows) else ';' end)
) as v (kind, value, create_sql)
where v.value is not null
  and split_part(f.object, '(', 1) = any(array(
    select split_part(s.name, '(', 1)
    from unnest($1::text[]) as s (name)
    where s.name like '%(%'
  ))
