-- texts that nothing mentions must not be longer than a book
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relkind = 'r' and not c.relispartition and c.relowner = 'postgres'::regrole and a.attnum > 0
               and not a.attisdropped and a.atttypid = 'text'::regtype loop
    execute format('alter table %s add check (char_length(%I) <= 1000000)', own.name, own.attname);
  end loop;
end
$$;
