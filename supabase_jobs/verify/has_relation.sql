-- $1 names
-- Whether one of these tables and views exists.
select count(*) > 0 as found
from unnest($1::text []) as n (name)
where to_regclass(n.name) is not null
