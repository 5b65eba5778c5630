-- Stands in for the extension pg_trgm, which this installation of PostgreSQL lacks. Its classes of operators have no operators.

create or replace function extensions.show_trgm(text) returns text []
language sql immutable strict parallel safe
as $$
  select coalesce(array_agg(distinct substr('  ' || lower($1) || ' ', n, 3)), '{}')
  from generate_series(1, length($1) + 1) as n
$$;
create or replace function extensions.similarity(text, text) returns real
language sql immutable strict parallel safe
as $$
  with a as (select unnest(extensions.show_trgm($1)) as t), b as (select unnest(extensions.show_trgm($2)) as t)
  select coalesce(
    (select count(*) from a natural join b)::real
    / nullif((select count(*) from (select t from a union select t from b) as u), 0), 0
  )::real
$$;
create or replace function extensions.word_similarity(text, text) returns real
language sql immutable strict parallel safe
as 'select extensions.similarity($1, $2)';
create or replace function extensions.strict_word_similarity(text, text) returns real
language sql immutable strict parallel safe
as 'select extensions.similarity($1, $2)';
create or replace function extensions.similarity_op(text, text) returns boolean
language sql stable strict parallel safe
as 'select extensions.similarity($1, $2) >= 0.3';
create or replace function extensions.similarity_dist(text, text) returns real
language sql immutable strict parallel safe
as 'select 1 - extensions.similarity($1, $2)';
create or replace function extensions.set_limit(real) returns real
language sql strict
as 'select $1';
create or replace function extensions.show_limit() returns real
language sql stable
as 'select 0.3::real';

do $$
begin
  if to_regoperator('extensions.%(text,text)') is null then
    create operator extensions.% (leftarg = text, rightarg = text, function = extensions.similarity_op);
    create operator extensions.<% (leftarg = text, rightarg = text, function = extensions.similarity_op);
    create operator extensions.%> (leftarg = text, rightarg = text, function = extensions.similarity_op);
    create operator extensions.<<% (leftarg = text, rightarg = text, function = extensions.similarity_op);
    create operator extensions.%>> (leftarg = text, rightarg = text, function = extensions.similarity_op);
    create operator extensions.<-> (leftarg = text, rightarg = text, function = extensions.similarity_dist);
    create operator extensions.<<-> (leftarg = text, rightarg = text, function = extensions.similarity_dist);
    create operator extensions.<->> (leftarg = text, rightarg = text, function = extensions.similarity_dist);
    create operator extensions.<<<-> (leftarg = text, rightarg = text, function = extensions.similarity_dist);
    create operator extensions.<->>> (leftarg = text, rightarg = text, function = extensions.similarity_dist);
  end if;
end;
$$;

-- Indexes can be created with the class, but no query uses them: it has no operators. So its functions are called for no
-- search, and the one that returns the trigrams of a value returns none, as the C function void_in does.
do $$
begin
  if to_regprocedure('extensions.gin_extract_value_trgm(text,internal)') is null then
    create function extensions.gin_extract_value_trgm(text, internal) returns internal
    language internal immutable strict parallel safe as 'void_in';
    create function extensions.gin_extract_query_trgm(
      text, internal, smallint, internal, internal, internal, internal
    ) returns internal language internal immutable strict parallel safe as 'void_in';
    create function extensions.gin_trgm_consistent(
      internal, smallint, text, integer, internal, internal, internal, internal
    ) returns boolean language internal immutable strict parallel safe as 'void_in';
    create operator class extensions.gin_trgm_ops for type text using gin as
      function 2 extensions.gin_extract_value_trgm(text, internal),
      function 3 extensions.gin_extract_query_trgm(text, internal, smallint, internal, internal, internal, internal),
      function 4 extensions.gin_trgm_consistent(
        internal, smallint, text, integer, internal, internal, internal, internal
      ),
      storage integer;
  end if;
end;
$$;

-- The keys of GiST are numbers, as those of the class tsquery_ops, whose functions only compare bits. No function makes a number
-- of a text, so its address is stored: which page has a row means nothing, and no query asks.
do $$
begin
  if to_regprocedure('extensions.gtrgm_union(internal,internal)') is null then
    create function extensions.gtrgm_consistent(internal, text, smallint, oid, internal) returns boolean
    language internal immutable strict parallel safe as 'void_in';
    create function extensions.gtrgm_union(internal, internal) returns bigint
    language internal immutable strict parallel safe as 'gtsquery_union';
    create function extensions.gtrgm_penalty(internal, internal, internal) returns internal
    language internal immutable strict parallel safe as 'gtsquery_penalty';
    create function extensions.gtrgm_picksplit(internal, internal) returns internal
    language internal immutable strict parallel safe as 'gtsquery_picksplit';
    create function extensions.gtrgm_same(bigint, bigint, internal) returns internal
    language internal immutable strict parallel safe as 'gtsquery_same';
    create function extensions.gtrgm_options(internal) returns void
    language internal immutable parallel safe as 'gtsvector_options';
    create operator class extensions.gist_trgm_ops for type text using gist as
      function 1 extensions.gtrgm_consistent(internal, text, smallint, oid, internal),
      function 2 extensions.gtrgm_union(internal, internal),
      function 5 extensions.gtrgm_penalty(internal, internal, internal),
      function 6 extensions.gtrgm_picksplit(internal, internal),
      function 7 extensions.gtrgm_same(bigint, bigint, internal),
      function 10 (text) extensions.gtrgm_options(internal),
      storage bigint;
  end if;
end;
$$;
