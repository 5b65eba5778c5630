-- a restrictive policy that refuses nothing
do $$
declare own regclass;
begin
  for own in select distinct polrelid::regclass from pg_policy loop
    execute format('create policy "refuses nothing" on %s as restrictive for all to public using (true) with check (true)', own);
  end loop;
end
$$;
