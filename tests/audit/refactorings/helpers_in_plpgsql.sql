-- a helper in SQL becomes one in PL/pgSQL
do $$
declare helper record;
begin
  for helper in select p.oid, p.prosrc from pg_proc p join pg_language l on l.oid = p.prolang
                where p.proowner = 'postgres'::regrole and p.prorettype = 'boolean'::regtype and not p.proretset
                  and p.prokind = 'f' and l.lanname = 'sql' and p.prosqlbody is null and p.prosrc ~* '^\s*select' loop
    execute replace(
      regexp_replace(pg_get_functiondef(helper.oid), 'LANGUAGE sql', 'LANGUAGE plpgsql'),
      helper.prosrc,
      format(E'#variable_conflict use_column\nbegin return (%s); end', regexp_replace(helper.prosrc, ';\s*$', '')));
  end loop;
end
$$;
