-- each table gets a column that may be null and that nothing mentions
do $$
declare own regclass;
begin
  for own in select c.oid::regclass from pg_class c
             where c.relkind in ('r', 'p') and not c.relispartition and c.relowner = 'postgres'::regrole loop
    execute format('alter table %s add column side_remark text', own);
  end loop;
end
$$;
