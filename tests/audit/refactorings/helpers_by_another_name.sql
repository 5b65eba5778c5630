-- the policies call copies of their helpers
do $$
declare helper record; policy record; copy text; pattern text;
begin
  for helper in select p.oid, p.proname, n.nspname from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                where p.proowner = 'postgres'::regrole and p.prorettype = 'boolean'::regtype and p.prokind = 'f'
                  and exists (select from pg_policies
                              where coalesce(qual, '') || coalesce(with_check, '') ~ ('\m' || p.proname || '\(')) loop
    copy := helper.proname || '_copy';
    execute regexp_replace(pg_get_functiondef(helper.oid), '\m' || helper.proname || '\(', copy || '(');
    pattern := '\m' || helper.proname || '\(';
    for policy in select * from pg_policies where coalesce(qual, '') || coalesce(with_check, '') ~ pattern loop
      execute format('alter policy %I on %I.%I', policy.policyname, policy.schemaname, policy.tablename)
        || coalesce(' using (' || regexp_replace(policy.qual, pattern, copy || '(', 'g') || ')', '')
        || coalesce(' with check (' || regexp_replace(policy.with_check, pattern, copy || '(', 'g') || ')', '');
    end loop;
  end loop;
end
$$;
