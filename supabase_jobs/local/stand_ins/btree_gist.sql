-- Stands in for the extension btree_gist, which this installation of PostgreSQL lacks.

-- two ranges overlap if the values are equal: `c with =` becomes `extensions.equality_range(c) with &&`
create or replace function extensions.equality_range(value anyelement) returns int8range
language sql immutable strict
as $$ select int8range(h, h, '[]') from hashtextextended(value::text, 0) as h $$;
grant execute on function extensions.equality_range(anyelement) to public;
