-- Who may call the functions of extensions, where that is not everybody.
select
  e.extname::text as extension,
  s.statement
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_depend as d on p.oid = d.objid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
cross join lateral (
  select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name
) as f
cross join lateral (
  select
    0 as place,
    format('revoke all on function %s from public', f.name) as statement

  union all

  select
    1 as place,
    format(
      'grant execute on function %s to %s',
      f.name,
      coalesce(quote_ident(pg_get_userbyid(nullif(a.grantee, 0))), 'public')
    ) as statement
  from aclexplode(p.proacl) as a
) as s
where p.prokind = 'f' and p.proacl is not null
order by f.name, s.place, s.statement
