-- Stands in for the extension pg_jsonschema, which this installation of PostgreSQL lacks: it accepts every instance.

create or replace function extensions.json_matches_schema(schema json, instance json) returns boolean
language sql immutable strict parallel safe
as 'select true';
create or replace function extensions.jsonb_matches_schema(schema json, instance jsonb) returns boolean
language sql immutable strict parallel safe
as 'select true';
create or replace function extensions.jsonschema_is_valid(schema json) returns boolean
language sql immutable strict parallel safe
as 'select true';
create or replace function extensions.jsonschema_validation_errors(schema json, instance json) returns text []
language sql immutable strict parallel safe
as $$ select '{}'::text [] $$;
