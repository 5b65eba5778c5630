-- The role `postgres` of a hosted project: not a superuser, it owns the database and what migrations create.
-- Run by the superuser supabase_admin. Roles belong to the cluster and may be there already.

do $$
begin
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) or current_user = 'postgres' then
    raise exception 'the platform is loaded by a superuser other than postgres, not by %', current_user
      using hint = 'on Supabase the superuser is supabase_admin, and postgres is an ordinary role';
  end if;
end;
$$;

-- Two databases of one cluster can be loaded at the same time; pg_authid is shared by both, advisory locks are not.
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
