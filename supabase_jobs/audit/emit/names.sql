-- Names ($1) as SQL needs them: with quotes only where they are necessary.
select
  n.name,
  quote_ident(n.name)
from unnest($1::text[]) as n (name)
