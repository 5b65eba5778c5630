-- each list of a CHECK constraint gets a label that no row has and no policy mentions
do $$
declare list record;
begin
  for list in select conname, conrelid::regclass as own, pg_get_constraintdef(oid) as definition from pg_constraint
              where contype = 'c' and connamespace <> 'pg_catalog'::regnamespace and conrelid <> 0
                and pg_get_constraintdef(oid) ~ '= ANY \(ARRAY\[''[^\]]*\]\)'
                and conrelid in (select oid from pg_class where relowner = 'postgres'::regrole) and coninhcount = 0 loop
    execute format('alter table %s drop constraint %I', list.own, list.conname);
    execute format('alter table %s add constraint %I %s', list.own, list.conname,
                   regexp_replace(list.definition, '(= ANY \(ARRAY\[''[^\]]*)\]', '\1, ''auditor''::text]', 'g'));
  end loop;
end
$$;
