-- each table gets an index
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relkind = 'r' and c.relowner = 'postgres'::regrole and a.attnum = 1 and not a.attisdropped loop
    execute format('create index on %s (%I)', own.name, own.attname);
  end loop;
end
$$;
