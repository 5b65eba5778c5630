-- Stands in for the extension postgis, which this installation of PostgreSQL lacks. Values are texts: nothing is computed.

do $$
declare
  name text;
begin
  if to_regtype('extensions.geometry') is not null then
    return;
  end if;
  create function extensions.geometry_typmod_in(cstring[]) returns integer
  language sql immutable strict parallel safe as 'select 1';
  foreach name in array array['geometry', 'geography'] loop
    execute format('create type extensions.%I', name);
    execute format(
      'create function extensions.%1$s_in(cstring, oid, integer) returns extensions.%1$s'
      ' language internal immutable strict parallel safe as $f$textin$f$', name
    );
    execute format(
      'create function extensions.%1$s_out(extensions.%1$s) returns cstring'
      ' language internal immutable strict parallel safe as $f$textout$f$', name
    );
    execute format(
      'create type extensions.%1$s (input = extensions.%1$s_in, output = extensions.%1$s_out,'
      ' typmod_in = extensions.geometry_typmod_in, internallength = variable, storage = extended)', name
    );
    execute format('create cast (extensions.%s as text) with inout as assignment', name);
    execute format('create cast (text as extensions.%s) with inout as assignment', name);
    execute format(
      'create function extensions.st_distance(extensions.%1$s, extensions.%1$s) returns double precision'
      ' language sql immutable strict parallel safe'
      ' as $f$ select case when $1::text = $2::text then 0.0 else 1000.0 end::double precision $f$', name
    );
    execute format(
      'create function extensions.st_dwithin(extensions.%1$s, extensions.%1$s, double precision) returns boolean'
      ' language sql immutable strict parallel safe as $f$ select $3 >= 1000 or $1::text = $2::text $f$', name
    );
    execute format(
      'create function extensions.st_intersects(extensions.%1$s, extensions.%1$s) returns boolean'
      ' language sql immutable strict parallel safe as $f$ select $1::text = $2::text $f$', name
    );
    execute format(
      'create function extensions.st_astext(extensions.%s) returns text'
      ' language sql immutable strict parallel safe as $f$ select $1::text $f$', name
    );
    execute format(
      'create function extensions.st_asgeojson(extensions.%s) returns text'
      ' language sql immutable strict parallel safe as $f$ select to_json($1::text)::text $f$', name
    );
    execute format(
      'create operator extensions.&& (leftarg = extensions.%1$s, rightarg = extensions.%1$s,'
      ' function = extensions.st_intersects)', name
    );
    execute format(
      'create operator extensions.<-> (leftarg = extensions.%1$s, rightarg = extensions.%1$s,'
      ' function = extensions.st_distance)', name
    );
  end loop;
  create cast (extensions.geometry as extensions.geography) with inout as implicit;
  create cast (extensions.geography as extensions.geometry) with inout;
end;
$$;
create or replace function extensions.st_makepoint(double precision, double precision) returns extensions.geometry
language sql immutable strict parallel safe
as $$ select format('POINT(%s %s)', $1, $2)::extensions.geometry $$;
create or replace function extensions.st_point(double precision, double precision) returns extensions.geometry
language sql immutable strict parallel safe
as 'select extensions.st_makepoint($1, $2)';
create or replace function extensions.st_point(double precision, double precision, integer)
returns extensions.geometry
language sql immutable strict parallel safe
as 'select extensions.st_makepoint($1, $2)';
create or replace function extensions.st_setsrid(extensions.geometry, integer) returns extensions.geometry
language sql immutable strict parallel safe
as 'select $1';
create or replace function extensions.st_geogfromtext(text) returns extensions.geography
language sql immutable strict parallel safe
as 'select $1::extensions.geography';
create or replace function extensions.st_geomfromtext(text) returns extensions.geometry
language sql immutable strict parallel safe
as 'select $1::extensions.geometry';
create or replace function extensions.st_geomfromtext(text, integer) returns extensions.geometry
language sql immutable strict parallel safe
as 'select $1::extensions.geometry';
create or replace function extensions.st_x(extensions.geometry) returns double precision
language sql immutable strict parallel safe
as $$ select split_part(substr($1::text, 7), ' ', 1)::double precision $$;
create or replace function extensions.st_y(extensions.geometry) returns double precision
language sql immutable strict parallel safe
as $$ select rtrim(split_part($1::text, ' ', 2), ')')::double precision $$;
