-- The switch "expose new tables" is off, as in new projects. Run after default_privileges.sql. It revokes only what requests
-- use, and only for objects of postgres. TRUNCATE, REFERENCES, TRIGGER, MAINTAIN and, on sequences, UPDATE stay granted.

alter default privileges for role postgres in schema public
  revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke usage, select on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
  revoke execute on functions from anon, authenticated, service_role;
