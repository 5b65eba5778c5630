-- The connection's role, whether row level security applies to it, the API roles that exist, and the storage schema.
select
  current_user::text as own_role,
  (select r.rolsuper or r.rolbypassrls from pg_roles as r
where r.rolname = current_user) as bypasses,
  array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
  ) as roles,
  to_regclass('storage.objects') is not null as has_storage,
  to_regclass('auth.users')::oid::bigint as users,
  current_setting('transaction_read_only')::boolean as is_read_only
