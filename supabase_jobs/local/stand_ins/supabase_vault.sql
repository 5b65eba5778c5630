-- Stands in for the extension supabase_vault. Secrets are not encrypted here.

create schema if not exists vault;
grant usage on schema vault to postgres, service_role;

create table if not exists vault.secrets (
  id uuid not null default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint secrets_pkey primary key (id)
);
create unique index if not exists secrets_name_idx on vault.secrets (name) where name is not null;
-- not encrypted here
create or replace view vault.decrypted_secrets as
select
s.id,
s.name,
s.description,
s.secret,
s.secret as decrypted_secret,
s.created_at,
s.updated_at
from vault.secrets as s;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres, service_role;

create or replace function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid
language sql security definer
set search_path = ''
as $$
  insert into vault.secrets (secret, name, description) values (new_secret, new_name, new_description) returning id
$$;
revoke all on function vault.create_secret(text, text, text, uuid) from public;
grant execute on function vault.create_secret(text, text, text, uuid) to postgres, service_role;

create or replace function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
  new_key_id uuid default null
) returns void
language sql security definer
set search_path = ''
as $$
  update vault.secrets set
    secret = coalesce(new_secret, secret),
    name = coalesce(new_name, name),
    description = coalesce(new_description, description),
    updated_at = now()
  where id = secret_id
$$;
revoke all on function vault.update_secret(uuid, text, text, text, uuid) from public;
grant execute on function vault.update_secret(uuid, text, text, text, uuid) to postgres, service_role;
