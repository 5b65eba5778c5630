-- texts that nothing mentions must not be null any more
do $$
declare own record;
begin
  for own in select c.oid::regclass as name, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relkind = 'r' and not c.relispartition and c.relowner = 'postgres'::regrole and a.attnum > 0
               and not a.attisdropped and not a.attnotnull and a.attgenerated = '' and a.atttypid = 'text'::regtype loop
    if not exists (select from pg_policies where coalesce(qual, '') || coalesce(with_check, '') ~ ('\m' || own.attname || '\M'))
      and not exists (select from pg_proc where proowner = 'postgres'::regrole and prosrc ~ ('\m' || own.attname || '\M'))
      and not exists (select from pg_constraint where conrelid = own.name
                      and pg_get_constraintdef(oid) ~ ('\m' || own.attname || '\M')) then
      execute format('update %s set %I = %L where %2$I is null', own.name, own.attname, '');
      execute format('alter table %s alter column %I set default %L, alter column %2$I set not null', own.name, own.attname, '');
    end if;
  end loop;
end
$$;
