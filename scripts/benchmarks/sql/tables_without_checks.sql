-- Two empty tables like async_jobs, with its indexes, foreign keys and the trigger of an insert; one has no size checks.
do $$
declare
  name text;
begin
  foreach name in array array['with_checks', 'without_checks'] loop
    execute format('create table public.%I (like public.async_jobs including all)', name);
    execute format(
      'alter table public.%I add foreign key (guest_id) references public.guest_users (guest_id) on delete cascade,'
      ' add foreign key (user_id) references auth.users (id) on delete cascade',
      name
    );
    execute format(
      'create trigger set_async_job_times_trigger before insert on public.%I for each row'
      ' when (new.created_at is distinct from now() or new.updated_at is distinct from now())'
      ' execute function private.set_async_job_times()',
      name
    );
  end loop;
end
$$;

create trigger limit_owner_result_trigger
before insert or update of result on public.with_checks
for each row
when (pg_column_size(new.result) > 1024)
execute function private.limit_owner_result();

alter table public.without_checks
drop constraint chk_valid_metadata,
drop constraint chk_valid_result,
drop constraint chk_valid_error;
