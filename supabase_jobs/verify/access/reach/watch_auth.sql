-- $1 victim
-- The query that shows what Auth stores about another user, beside the row of auth.users: sessions, tokens, identities, factors.
select
  string_agg(
    format(
      'select %L as what, to_jsonb(t)::text as value from auth.%I as t where t.%I::text = %L',
      'another user', c.relname, a.attname, $1::text
    ),
    ' union all ' order by c.relname
  ) as query
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid
where c.relnamespace = to_regnamespace('auth')
  and c.relkind in ('r', 'p')
  and a.attname = 'user_id'
  and not a.attisdropped
  and has_table_privilege(c.oid, 'select')
