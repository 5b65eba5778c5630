-- each policy gets another name
do $$
declare policy record;
begin
  for policy in select schemaname, tablename, policyname from pg_policies loop
    execute format('alter policy %I on %I.%I rename to %I', policy.policyname, policy.schemaname, policy.tablename,
                   left('renamed ' || policy.policyname, 60));
  end loop;
end
$$;
