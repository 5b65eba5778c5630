-- a condition that is null is false
do $$
declare policy record;
begin
  for policy in select * from pg_policies loop
    execute format('alter policy %I on %I.%I', policy.policyname, policy.schemaname, policy.tablename)
      || coalesce(' using (coalesce((' || policy.qual || '), false))', '')
      || coalesce(' with check (coalesce((' || policy.with_check || '), false))', '');
  end loop;
end
$$;
