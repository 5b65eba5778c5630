-- a trigger on each table sets the time of the last update
create function public.touch_row() returns trigger language plpgsql as $$
begin
  new.updated_at := now();
  return new;
end
$$;
do $$
declare own regclass;
begin
  for own in select c.oid::regclass from pg_class c
             where c.relkind = 'r' and not c.relispartition and c.relowner = 'postgres'::regrole loop
    execute format('alter table %s add column if not exists updated_at timestamptz not null default now()', own);
    execute format('create trigger touch_row before update on %s for each row execute function public.touch_row()', own);
  end loop;
end
$$;
