-- Stands in for the extension fuzzystrmatch, which this installation of PostgreSQL lacks. Its results differ.

create or replace function extensions.levenshtein(text, text) returns integer
language sql immutable strict parallel safe
as 'select case when $1 = $2 then 0 else greatest(length($1), length($2)) end';
create or replace function extensions.soundex(text) returns text
language sql immutable strict parallel safe
as $$ select upper(left($1, 1)) || '000' $$;
create or replace function extensions.difference(text, text) returns integer
language sql immutable strict parallel safe
as 'select case when extensions.soundex($1) = extensions.soundex($2) then 4 else 0 end';
create or replace function extensions.metaphone(text, integer) returns text
language sql immutable strict parallel safe
as 'select left(upper($1), $2)';
create or replace function extensions.dmetaphone(text) returns text
language sql immutable strict parallel safe
as 'select left(upper($1), 4)';
