-- Stands in for the extension uuid-ossp, which this installation of PostgreSQL lacks.

create or replace function extensions.uuid_generate_v4() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
create or replace function extensions.uuid_generate_v1() returns uuid
language sql volatile
as 'select pg_catalog.gen_random_uuid()';
