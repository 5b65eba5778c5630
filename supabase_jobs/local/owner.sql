-- The role `postgres` of a hosted project: it is not a superuser; it owns the database and what migrations create.
-- Run by the superuser supabase_admin. Roles belong to the cluster and may already exist.

do $$
begin
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) or current_user = 'postgres' then
    raise exception 'the platform must be loaded by a superuser other than postgres, not by %', current_user
      using hint = 'connect as supabase_admin; on Supabase, postgres is not a superuser';
  end if;
end;
$$;

-- Two databases of a cluster can be loaded concurrently. They share pg_authid; advisory locks are per database.
lock table pg_catalog.pg_authid in share row exclusive mode;

do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'postgres') then
    create role postgres;
  end if;
  alter role postgres with login nosuperuser createdb createrole replication bypassrls inherit;
  execute format('alter database %I owner to postgres', current_database());
end;
$$;
