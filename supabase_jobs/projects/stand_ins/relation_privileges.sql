-- Who may read and write the tables and views of extensions.
select
  e.extname::text as extension,
  format(
    'grant %s on %I.%I to %s',
    a.privilege_type,
    n.nspname,
    c.relname,
    coalesce(quote_ident(pg_get_userbyid(nullif(a.grantee, 0))), 'public')
  ) as statement
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_depend as d on c.oid = d.objid and d.classid = 'pg_class'::regclass and d.deptype = 'e'
inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
cross join lateral aclexplode(c.relacl) as a
where c.relkind in ('r', 'p', 'v', 'm', 'f')
order by n.nspname, c.relname, statement
