-- Stands in for the extension uuid-ossp, which this installation of PostgreSQL lacks.

create or replace function extensions.uuid_generate_v4() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
create or replace function extensions.uuid_generate_v1() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
create or replace function extensions.uuid_generate_v1mc() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
create or replace function extensions.uuid_generate_v5(namespace uuid, name text) returns uuid
language sql immutable strict
as 'select md5(namespace::text || name)::uuid';
create or replace function extensions.uuid_generate_v3(namespace uuid, name text) returns uuid
language sql immutable strict
as 'select md5(namespace::text || name)::uuid';
create or replace function extensions.uuid_nil() returns uuid
language sql immutable
as $$ select '00000000-0000-0000-0000-000000000000'::uuid $$;
create or replace function extensions.uuid_ns_dns() returns uuid
language sql immutable
as $$ select '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
create or replace function extensions.uuid_ns_url() returns uuid
language sql immutable
as $$ select '6ba7b811-9dad-11d1-80b4-00c04fd430c8'::uuid $$;
