-- Stands in for the extension vector, which this installation of PostgreSQL lacks. Values are texts: nothing is computed.

do $$
begin
  if to_regtype('extensions.vector') is not null then
    return;
  end if;
  create type extensions.vector;
  create function extensions.vector_in(cstring, oid, integer) returns extensions.vector
  language internal immutable strict parallel safe as 'textin';
  create function extensions.vector_out(extensions.vector) returns cstring
  language internal immutable strict parallel safe as 'textout';
  create function extensions.vector_typmod_in(cstring[]) returns integer
  language internal immutable strict parallel safe as 'bpchartypmodin';
  create function extensions.vector_typmod_out(integer) returns cstring
  language internal immutable strict parallel safe as 'bpchartypmodout';
  create type extensions.vector (
    input = extensions.vector_in, output = extensions.vector_out, typmod_in = extensions.vector_typmod_in,
    typmod_out = extensions.vector_typmod_out, internallength = variable, storage = extended
  );
  create cast (extensions.vector as text) with inout as assignment;
  create cast (text as extensions.vector) with inout as assignment;
  create domain extensions.halfvec as text;
  create domain extensions.sparsevec as text;
  create function extensions.vector_distance(extensions.vector, extensions.vector) returns double precision
  language sql immutable strict parallel safe
  as 'select ($1::text <> $2::text)::integer::double precision';
  create operator extensions.<=> (
    leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_distance
  );
  create operator extensions.<-> (
    leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_distance
  );
  create operator extensions.<#> (
    leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_distance
  );
  create operator extensions.<+> (
    leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_distance
  );
  -- for DISTINCT, GROUP BY and ORDER BY
  create function extensions.vector_lt(extensions.vector, extensions.vector) returns boolean
  language sql immutable strict parallel safe as 'select $1::text collate "C" < $2::text';
  create function extensions.vector_le(extensions.vector, extensions.vector) returns boolean
  language sql immutable strict parallel safe as 'select $1::text collate "C" <= $2::text';
  create function extensions.vector_eq(extensions.vector, extensions.vector) returns boolean
  language sql immutable strict parallel safe as 'select $1::text collate "C" = $2::text';
  create function extensions.vector_ge(extensions.vector, extensions.vector) returns boolean
  language sql immutable strict parallel safe as 'select $1::text collate "C" >= $2::text';
  create function extensions.vector_gt(extensions.vector, extensions.vector) returns boolean
  language sql immutable strict parallel safe as 'select $1::text collate "C" > $2::text';
  create function extensions.vector_cmp(extensions.vector, extensions.vector) returns integer
  language sql immutable strict parallel safe as 'select bttextcmp($1::text collate "C", $2::text)';
  create operator extensions.< (leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_lt);
  create operator extensions.<= (leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_le);
  create operator extensions.= (leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_eq);
  create operator extensions.>= (leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_ge);
  create operator extensions.> (leftarg = extensions.vector, rightarg = extensions.vector, function = extensions.vector_gt);
  create operator class extensions.vector_ops default for type extensions.vector using btree as
    operator 1 extensions.<, operator 2 extensions.<=, operator 3 extensions.=, operator 4 extensions.>=,
    operator 5 extensions.>, function 1 extensions.vector_cmp(extensions.vector, extensions.vector);
end;
$$;
create or replace function extensions.cosine_distance(extensions.vector, extensions.vector) returns double precision
language sql immutable strict parallel safe
as 'select extensions.vector_distance($1, $2)';
create or replace function extensions.l2_distance(extensions.vector, extensions.vector) returns double precision
language sql immutable strict parallel safe
as 'select extensions.vector_distance($1, $2)';
create or replace function extensions.vector_dims(extensions.vector) returns integer
language sql immutable strict parallel safe
as $$ select array_length(string_to_array($1::text, ','), 1) $$;
