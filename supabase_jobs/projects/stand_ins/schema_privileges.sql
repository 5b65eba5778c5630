-- Who may use the schemas that belong to extensions.
select
  e.extname::text as extension,
  format(
    'grant %s on schema %I to %s',
    a.privilege_type,
    n.nspname,
    coalesce(quote_ident(pg_get_userbyid(nullif(a.grantee, 0))), 'public')
  ) as statement
from pg_namespace as n
inner join pg_depend as d on n.oid = d.objid and d.classid = 'pg_namespace'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
cross join lateral aclexplode(n.nspacl) as a
order by n.nspname, statement
