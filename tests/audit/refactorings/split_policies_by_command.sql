-- a policy for all commands becomes one for each of them
do $$
declare policy record; command text;
begin
  for policy in select p.*, array_to_string(array(select quote_ident(r) from unnest(p.roles) r), ', ') as role_list
                from pg_policies p where cmd = 'ALL' loop
    foreach command in array array['select', 'insert', 'update', 'delete'] loop
      execute format('create policy %I on %I.%I as %s for %s to %s',
                     left(command || ' ' || policy.policyname, 60), policy.schemaname, policy.tablename,
                     policy.permissive, command, policy.role_list)
        || case when command <> 'insert' then format(' using (%s)', policy.qual) else '' end
        || case when command in ('insert', 'update')
             then format(' with check (%s)', coalesce(policy.with_check, policy.qual)) else '' end;
    end loop;
    execute format('drop policy %I on %I.%I', policy.policyname, policy.schemaname, policy.tablename);
  end loop;
end
$$;
