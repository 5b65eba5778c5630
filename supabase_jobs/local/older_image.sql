-- The differences of a project that was created with an older image. Run after platform.sql.

alter role anon with noinherit;
alter role authenticated with noinherit;
alter role service_role with noinherit;

alter schema auth owner to supabase_auth_admin;
