-- The trap: whatever postgres or supabase_admin creates in schema public is granted, entirely, to the API roles.
-- A migration that only grants leaves anon with DELETE and TRUNCATE. Newer projects can switch this off.

alter default privileges for role postgres, supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
