-- Default privileges that grant PUBLIC or the API's roles privileges on future tables, sequences and functions in
-- managed schemas.
select
  format('%I', n.nspname) as object,
  'default privilege' as kind,
  format('%s on %s of %I', g.grantee, t.name, pg_get_userbyid(d.defaclrole)) as name,
  g.privileges as value,
  '' as create_sql,
  format('alter default privileges for role %I%s revoke all on %s from %s;', pg_get_userbyid(d.defaclrole),
    case when d.defaclnamespace <> 0 then format(' in schema %I', n.nspname) else '' end, t.name, g.grantee) as drop_sql,
  'warning' as unexpected_severity,
  'warning' as deviation_severity
from pg_default_acl as d
inner join pg_namespace as n on d.defaclnamespace in (0, n.oid)
inner join (values ('r'::"char", 'tables'), ('f', 'functions'), ('S', 'sequences')) as t (code, name)
  on d.defaclobjtype = t.code
cross join lateral (
  select
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
    string_agg(a.privilege_type, ', ' order by a.privilege_type) as privileges
  from aclexplode(d.defaclacl) as a
  where (
    a.grantee = 0
    or pg_get_userbyid(a.grantee) in ('anon', 'authenticated', 'service_role', 'authenticator')
  )
  -- a global entry repeats the built-in EXECUTE privilege of PUBLIC
  and not (d.defaclnamespace = 0 and a.grantee = 0 and d.defaclobjtype = 'f')
  group by a.grantee
) as g
where format('%I', n.nspname) = any($1)
