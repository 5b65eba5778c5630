-- a permissive policy for everybody, or for anon and authenticated, becomes one for each of the two roles
do $$
declare policy record; role text;
begin
  for policy in select * from pg_policies
                where permissive = 'PERMISSIVE' and (roles = '{public}' or roles @> '{anon,authenticated}') loop
    foreach role in array array['anon', 'authenticated'] loop
      execute format('create policy %I on %I.%I for %s to %I', left(role || ' ' || policy.policyname, 60),
                     policy.schemaname, policy.tablename, policy.cmd, role)
        || coalesce(' using (' || policy.qual || ')', '')
        || coalesce(' with check (' || policy.with_check || ')', '');
    end loop;
    execute format('drop policy %I on %I.%I', policy.policyname, policy.schemaname, policy.tablename);
  end loop;
end
$$;
