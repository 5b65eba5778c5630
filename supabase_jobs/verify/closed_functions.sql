-- The functions of PostgreSQL that everybody may call in a new database, and not in this one.
select p.oid::regprocedure::text as function
from pg_proc as p
where p.pronamespace = 'pg_catalog'::regnamespace
  and p.proacl is not null
  and not exists (
    select from aclexplode(p.proacl) as a
    where a.grantee = 0 and a.privilege_type = 'EXECUTE'
  )
  -- those that are closed in a new database too
  and not exists (
    select from pg_init_privs as i
    where i.classoid = 'pg_proc'::regclass and i.objoid = p.oid and i.privtype = 'i'
  )
order by 1
