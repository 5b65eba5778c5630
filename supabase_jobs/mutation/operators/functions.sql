-- Functions: security, settings, volatility, null input, parallel safety, owner, arguments or defaults changed, body
-- emptied, an overload added, function dropped.
with function as (
  select
    p.*,
    l.lanname,
    quote_ident(n.nspname) as schema,
    o.object,
    format('%I.%I', n.nspname, p.proname) as name,
    format_type(p.prorettype, null) as result,
    (
      select string_agg('null::' || format_type(a.type, null), ', ' order by a.number)
      from unnest(p.proallargtypes, p.proargmodes) with ordinality as a (type, mode, number)
      where a.mode in ('o', 'b', 't')
    ) as outputs,
    pg_get_functiondef(p.oid) as definition,
    pg_get_function_arguments(p.oid) as arguments,
    pg_get_function_identity_arguments(p.oid) as bare,
    -- null if other objects depend on the function: it cannot be dropped and created again
    case when not exists (
      select 1 from pg_depend as d
      where d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid and d.deptype = 'n'
    ) then format('drop function %s;', o.object) end as dropped,
    format('; revoke all on function %s from public, anon, authenticated, service_role;', o.object) || (
      select string_agg(format('grant execute on function %s to %s;', o.object,
        case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end), '')
      from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
    ) as granted
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  cross join lateral (
    select format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  ) as o
  where p.prokind = 'f'
    and o.object = any($1)
)

select
  array[v.operator, f.object] as id,
  f.object,
  v.description,
  v.sql
from function as f
cross join lateral (
  values
  ('security', case when f.prosecdef then 'SECURITY INVOKER' else 'SECURITY DEFINER' end,
    format('alter function %s security %s;', f.object, case when f.prosecdef then 'invoker' else 'definer' end)),
  ('search-path-reset', 'search_path reset',
    case when f.proconfig::text like '%search_path%'
      then format('alter function %s reset search_path;', f.object) end),
  ('search-path-public', 'search_path set to public', format('alter function %s set search_path = public;', f.object)),
  ('setting', 'a setting added', format('alter function %s set timezone = ''Asia/Tokyo'';', f.object)),
  ('volatility', 'volatility changed',
    format('alter function %s %s;', f.object, case f.provolatile when 'i' then 'volatile' else 'immutable' end)),
  ('strict', case when f.proisstrict then 'called on null input' else 'returns null on null input' end,
    format('alter function %s %s;', f.object,
      case when f.proisstrict then 'called on null input' else 'returns null on null input' end)),
  ('parallel', case f.proparallel when 's' then 'PARALLEL UNSAFE' else 'PARALLEL SAFE' end,
    format('alter function %s parallel %s;', f.object, case f.proparallel when 's' then 'unsafe' else 'safe' end)),
  ('owner', 'owned by service_role',
    format('grant create on schema %s to service_role; alter function %s owner to service_role;'
      'revoke create on schema %s from service_role;', f.schema, f.object, f.schema)),
  ('empty', 'body emptied',
    case when f.prosrc <> '' and f.lanname = 'plpgsql'
      then replace(f.definition, f.prosrc, case
        when f.prorettype = 'pg_catalog.trigger'::regtype then ' begin return new; end '
        when f.proretset or f.prorettype = 'pg_catalog.void'::regtype then ' begin return; end '
        else ' begin return null; end ' end) || ';'
      when f.prosrc <> '' and f.lanname = 'sql'
      then replace(f.definition, f.prosrc, ' select ' || coalesce(f.outputs, 'null::' || f.result)
        || case when f.proretset then ' where false ' else ' ' end) || ';' end),
  ('default-dropped', 'defaults of its arguments removed',
    case when f.pronargdefaults > 0
      then f.dropped || replace(f.definition, f.arguments, f.bare) || f.granted end),
  ('renamed', 'first argument renamed',
    case when f.pronargs > 0 and f.proargnames[1] ~ '^\w+$'
      then f.dropped || regexp_replace(f.definition, format('\m%s\M', f.proargnames[1]), 'mutant', 'g') || f.granted end),
  ('overload', 'a SECURITY DEFINER overload added',
    format('create function %s(mutant "char") returns integer language sql security definer as ''select 1'';', f.name)),
  ('drop', 'dropped with CASCADE', format('drop function %s cascade;', f.object))
) as v (operator, description, sql)
where v.sql is not null
union all
select
  array[format('default-%s-%s', v.operator, n.number), f.object],
  f.object,
  format('default of an argument (%s) replaced by %s', f.arguments, v.operator),
  replace(f.definition, f.arguments, regexp_replace(f.arguments, v.pattern, v.replacement, 1, n.number::integer)) || ';'
from function as f
cross join (
  values
  ('null', ' DEFAULT (?!NULL)[^,]+', ' DEFAULT NULL'),
  ('one', ' DEFAULT NULL::(smallint|integer|bigint|numeric|text)\M', ' DEFAULT ''1''::\1')
) as v (operator, pattern, replacement)
cross join lateral generate_series(1, regexp_count(f.arguments, v.pattern)) as n (number)
