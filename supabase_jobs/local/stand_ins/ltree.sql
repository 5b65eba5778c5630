-- Stands in for the extension ltree, which this installation of PostgreSQL lacks. Values are texts.

do $$
begin
  if to_regtype('extensions.ltree') is not null then
    return;
  end if;
  create domain extensions.ltree as text;
  create domain extensions.lquery as text;
  create function extensions.ltree_isparent(extensions.ltree, extensions.ltree) returns boolean
  language sql immutable strict parallel safe as $body$ select $2 = $1 or $2 like $1 || '.%' $body$;
  create function extensions.ltree_risparent(extensions.ltree, extensions.ltree) returns boolean
  language sql immutable strict parallel safe as $body$ select $1 = $2 or $1 like $2 || '.%' $body$;
  create operator extensions.@> (
    leftarg = extensions.ltree, rightarg = extensions.ltree, function = extensions.ltree_isparent
  );
  create operator extensions.<@ (
    leftarg = extensions.ltree, rightarg = extensions.ltree, function = extensions.ltree_risparent
  );
end;
$$;
create or replace function extensions.nlevel(extensions.ltree) returns integer
language sql immutable strict parallel safe
as $$ select array_length(string_to_array($1, '.'), 1) $$;
create or replace function extensions.subpath(extensions.ltree, integer, integer) returns extensions.ltree
language sql immutable strict parallel safe
as $$ select array_to_string((string_to_array($1, '.'))[$2 + 1 : $2 + $3], '.')::extensions.ltree $$;
create or replace function extensions.text2ltree(text) returns extensions.ltree
language sql immutable strict parallel safe
as 'select $1::extensions.ltree';
