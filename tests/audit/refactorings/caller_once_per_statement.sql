-- the caller's id comes from a subquery, which runs once for each statement
do $$
declare policy record;
begin
  for policy in select * from pg_policies
                where coalesce(qual, '') || coalesce(with_check, '') ~ 'auth\.(uid|jwt)\(\)' loop
    execute format('alter policy %I on %I.%I', policy.policyname, policy.schemaname, policy.tablename)
      || coalesce(' using (' || regexp_replace(policy.qual, 'auth\.(uid|jwt)\(\)', '(select auth.\1())', 'g') || ')', '')
      || coalesce(' with check (' || regexp_replace(policy.with_check, 'auth\.(uid|jwt)\(\)', '(select auth.\1())', 'g') || ')', '');
  end loop;
end
$$;
