-- $1 names
-- Whether one of these tables and views exists.
select exists (
  select from unnest($1::text []) as n (name)
  where to_regclass(n.name) is not null
) as found
