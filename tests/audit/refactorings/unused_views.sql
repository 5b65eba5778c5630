-- a view of each table with the privileges of its caller
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind = 'r' and not c.relispartition and c.relowner = 'postgres'::regrole and n.nspname = 'public' loop
    execute format('create view public.%I with (security_invoker = true) as select * from %s', 'all_' || own.relname, own.name);
  end loop;
end
$$;
