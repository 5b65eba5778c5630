-- each table, column, policy and function gets a comment
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relkind = 'r' and c.relowner = 'postgres'::regrole and a.attnum > 0 and not a.attisdropped loop
    execute format('comment on table %s is %L', own.name, 'secret, paid by the admin');
    execute format('comment on column %s.%I is %L', own.name, own.attname, 'user_id: the password of the owner');
  end loop;
  for own in select * from pg_policies p join pg_class c on c.oid = format('%I.%I', schemaname, tablename)::regclass
             where c.relowner = 'postgres'::regrole loop
    execute format('comment on policy %I on %I.%I is %L', own.policyname, own.schemaname, own.tablename, 'true');
  end loop;
  for own in select p.oid::regprocedure as name from pg_proc p where p.proowner = 'postgres'::regrole and p.prokind = 'f' loop
    execute format('comment on function %s is %L', own.name, 'returns auth.users');
  end loop;
end
$$;
