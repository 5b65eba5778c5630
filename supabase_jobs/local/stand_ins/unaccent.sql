-- Stands in for the extension unaccent, which this installation of PostgreSQL lacks. It has no dictionary.

create or replace function extensions.unaccent(text) returns text
language sql stable strict parallel safe
as $$
  select translate(
    $1, 'ÀÁÂÃÄÅàáâãäåÈÉÊËèéêëÌÍÎÏìíîïÒÓÔÕÖòóôõöÙÚÛÜùúûüÇçÑñÝýÿ',
    'AAAAAAaaaaaaEEEEeeeeIIIIiiiiOOOOOoooooUUUUuuuuCcNnYyy'
  )
$$;
create or replace function extensions.unaccent(regdictionary, text) returns text
language sql stable strict parallel safe
as 'select extensions.unaccent($2)';
