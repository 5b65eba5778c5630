-- each constraint of a table gets another name
do $$
declare own record;
begin
  for own in select conname, conrelid::regclass as name from pg_constraint
             where conrelid in (select oid from pg_class where relowner = 'postgres'::regrole and relkind = 'r' and not relispartition)
               and coninhcount = 0 and contype in ('c', 'f', 'p', 'u') loop
    execute format('alter table %s rename constraint %I to %I', own.name, own.conname, left('renamed_' || own.conname, 60));
  end loop;
end
$$;
