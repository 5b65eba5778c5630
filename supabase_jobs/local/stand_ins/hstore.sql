-- Stands in for the extension hstore, which this installation of PostgreSQL lacks. Values are texts.

do $$
begin
  if to_regtype('extensions.hstore') is null then
    create domain extensions.hstore as text;
  end if;
end;
$$;
create or replace function extensions.hstore(text, text) returns extensions.hstore
language sql immutable parallel safe
as $$ select format('%I=>%I', $1, $2)::extensions.hstore $$;
create or replace function extensions.hstore(record) returns extensions.hstore
language plpgsql stable
as 'begin return to_jsonb($1)::text; end';
