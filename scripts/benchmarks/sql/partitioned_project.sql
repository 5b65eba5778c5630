-- Besides the tables of audit_project: 20 partitioned tables of the organizations, each with as many partitions as
-- `audit.partitions` says. Run outside of a transaction: each table is committed, as a project grows.
do $$
declare
  number integer;
  part integer;
begin
  for number in 1 .. 20 loop
    execute format(
      'create table public.%1$I (
         org_id uuid not null references public.orgs on delete cascade,
         happened_on date not null default current_date,
         detail text not null
       ) partition by range (happened_on)',
      'events_' || number
    );
    execute format('alter table public.%I enable row level security', 'events_' || number);
    execute format(
      'create policy "members read" on public.%I for select to authenticated using (public.is_member(org_id))',
      'events_' || number
    );
    for part in 1 .. current_setting('audit.partitions')::integer loop
      execute format(
        'create table public.%I partition of public.%I for values from (%L) to (%L)',
        'events_' || number || '_' || part, 'events_' || number,
        date '2024-01-01' + 20 * part, date '2024-01-01' + 20 * part + 20
      );
      -- without policies: requests to a partition itself show nothing
      execute format('alter table public.%I enable row level security', 'events_' || number || '_' || part);
    end loop;
    commit;
  end loop;
end;
$$;
