-- the same privileges, granted in the reverse order
do $$
declare own record; entry record;
begin
  for own in select c.oid::regclass as name, c.relacl from pg_class c
             where c.relkind in ('r', 'p', 'v', 'm') and c.relowner = 'postgres'::regrole loop
    for entry in select grantee::regrole as role, string_agg(privilege_type, ', ' order by privilege_type desc) as names
                 from aclexplode(own.relacl)
                 where grantee <> 0 and grantee <> 'postgres'::regrole
                 group by grantee order by grantee::regrole::text desc loop
      execute format('revoke %s on %s from %s', entry.names, own.name, entry.role);
      execute format('grant %s on %s to %s', entry.names, own.name, entry.role);
    end loop;
    for entry in select a.attname, x.grantee::regrole as role, x.privilege_type as privilege
                 from pg_attribute a, aclexplode(a.attacl) x
                 where a.attrelid = own.name and x.grantee <> 0 and x.grantee <> 'postgres'::regrole
                 order by a.attname desc, 2, 3 desc loop
      execute format('grant %s (%I) on %s to %s', entry.privilege, entry.attname, own.name, entry.role);
    end loop;
  end loop;
end
$$;
