-- Functions: as whom they run, with which search_path, how they are called, an empty body, one more door, gone.
select
  format('%s:%s', v.operator, f.object) as id,
  f.object,
  v.description,
  v.sql
from (
  select
    p.*,
    l.lanname,
    quote_ident(n.nspname) as schema,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    format('%I.%I', n.nspname, p.proname) as name,
    format_type(p.prorettype, null) as result,
    (
      select string_agg('null::' || format_type(a.type, null), ', ' order by a.number)
      from unnest(p.proallargtypes, p.proargmodes) with ordinality as a (type, mode, number)
      where a.mode in ('o', 'b', 't')
    ) as outputs,
    pg_get_functiondef(p.oid) as definition
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  where p.prokind = 'f'
    and format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) = any($1)
) as f
cross join lateral (
  values
  ('security', case when f.prosecdef then 'runs as its caller' else 'runs as its owner' end,
    format('alter function %s security %s;', f.object, case when f.prosecdef then 'invoker' else 'definer' end)),
  ('search-path-reset', 'has no search_path of its own',
    case when f.proconfig::text like '%search_path%'
      then format('alter function %s reset search_path;', f.object) end),
  ('search-path-public', 'its search_path is public', format('alter function %s set search_path = public;', f.object)),
  ('setting', 'has one more setting', format('alter function %s set row_security = off;', f.object)),
  ('volatility', 'of another volatility',
    format('alter function %s %s;', f.object, case f.provolatile when 'i' then 'volatile' else 'immutable' end)),
  ('strict', case when f.proisstrict then 'called on null input' else 'null on null input' end,
    format('alter function %s %s;', f.object,
      case when f.proisstrict then 'called on null input' else 'returns null on null input' end)),
  ('owner', 'owned by service_role',
    format('grant create on schema %s to service_role; alter function %s owner to service_role;'
      'revoke create on schema %s from service_role;', f.schema, f.object, f.schema)),
  ('empty', 'its body is empty',
    case when f.prosrc <> '' and f.lanname = 'plpgsql'
      then replace(f.definition, f.prosrc, case
        when f.prorettype = 'pg_catalog.trigger'::regtype then ' begin return new; end '
        when f.proretset or f.prorettype = 'pg_catalog.void'::regtype then ' begin return; end '
        else ' begin return null; end ' end) || ';'
      when f.prosrc <> '' and f.lanname = 'sql'
      then replace(f.definition, f.prosrc, ' select ' || coalesce(f.outputs, 'null::' || f.result)
        || case when f.proretset then ' where false ' else ' ' end) || ';' end),
  ('overload', 'one more of its name that runs as its owner',
    format('create function %s(mutant "char") returns integer language sql security definer as ''select 1'';', f.name)),
  ('drop', 'dropped, with all that depends on it', format('drop function %s cascade;', f.object))
) as v (operator, description, sql)
where v.sql is not null
