-- What public and the API's roles will be given on objects yet to be created in our helpers' schemas: the next function
-- or table there would be open before anybody has thought about it.
select
  format('%I', n.nspname) as object,
  'default privilege' as kind,
  format('%s on %s of %I', g.grantee, t.name, pg_get_userbyid(d.defaclrole)) as name,
  g.privileges as value,
  '' as mend,
  format('alter default privileges for role %I%s revoke all on %s from %s;', pg_get_userbyid(d.defaclrole),
    case when d.defaclnamespace <> 0 then format(' in schema %I', n.nspname) else '' end, t.name, g.grantee) as remove,
  'warning' as unexpected,
  'warning' as differs
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
  -- an entry for all schemas repeats what PostgreSQL gives everybody anyway
  and not (d.defaclnamespace = 0 and a.grantee = 0 and d.defaclobjtype = 'f')
  group by a.grantee
) as g
where format('%I', n.nspname) = any($1)
