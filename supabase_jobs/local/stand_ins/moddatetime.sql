-- Stands in for the extension moddatetime, which this installation of PostgreSQL lacks.

create or replace function extensions.moddatetime() returns trigger
language plpgsql
as $$ begin return jsonb_populate_record(new, jsonb_build_object(tg_argv[0], now())); end $$;
