create table activity (
  id bigint generated always as identity primary key,
  tenant_id uuid not null references tenants on delete cascade,
  actor uuid default auth.uid(),
  entity text not null,
  entity_id bigint not null,
  verb text not null check (verb in ('insert', 'update', 'delete')),
  data jsonb,
  at timestamptz not null default now()
);
alter table activity enable row level security;
create policy "Admins read the activity" on activity for select to authenticated
  using (tenant_id = current_tenant_id() and is_tenant_admin());
revoke insert, update, delete, truncate on activity from anon, authenticated;

create function log_activity() returns trigger language plpgsql security definer set search_path = public as $$
begin
  insert into activity (tenant_id, entity, entity_id, verb, data)
  values (new.tenant_id, tg_table_name, new.id, lower(tg_op), to_jsonb(new));
  return new;
end $$;

create trigger customers_activity after insert or update on customers for each row execute function log_activity();
create trigger orders_activity after insert or update on orders for each row execute function log_activity();
