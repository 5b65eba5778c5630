-- each permissive policy exists twice
do $$
declare policy record;
begin
  for policy in select p.*, array_to_string(array(select quote_ident(r) from unnest(p.roles) r), ', ') as role_list
                from pg_policies p where permissive = 'PERMISSIVE' loop
    execute format('create policy %I on %I.%I for %s to %s', left('again ' || policy.policyname, 60),
                   policy.schemaname, policy.tablename, policy.cmd, policy.role_list)
      || coalesce(' using (' || policy.qual || ')', '')
      || coalesce(' with check (' || policy.with_check || ')', '');
  end loop;
end
$$;
