-- times have the time of the statement as default, and texts that nothing mentions an empty one
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, a.attname, pg_get_expr(d.adbin, d.adrelid) as old, a.atttypid
             from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
             where c.relkind = 'r' and not c.relispartition and c.relowner = 'postgres'::regrole and a.attnum > 0
               and not a.attisdropped and a.attgenerated = '' and a.attidentity = '' loop
    if own.old = 'now()' then
      execute format('alter table %s alter column %I set default statement_timestamp()', own.name, own.attname);
    elsif own.old is null and own.atttypid = 'text'::regtype
      and not exists (select from pg_policies where coalesce(qual, '') || coalesce(with_check, '') ~ ('\m' || own.attname || '\M'))
      and not exists (select from pg_proc where proowner = 'postgres'::regrole and prosrc ~ ('\m' || own.attname || '\M'))
      and not exists (select from pg_constraint where conrelid = own.name
                      and pg_get_constraintdef(oid) ~ ('\m' || own.attname || '\M')) then
      execute format('alter table %s alter column %I set default %L', own.name, own.attname, '');
    end if;
  end loop;
end
$$;
