-- The API roles get all privileges on every object that postgres or supabase_admin creates in schema public.
-- A migration that only grants, and does not revoke, leaves anon with DELETE and TRUNCATE. Newer projects revoke some of
-- them: see default_privileges_off.sql.

alter default privileges for role postgres, supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
