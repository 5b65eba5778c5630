-- $1 victim, $2 caller
-- The query that shows what Auth stores about another user, beside the row of auth.users: sessions, tokens, identities, factors.
-- And a digest of the providers and domains by which Auth signs users in, and the identities of the caller.
select
  string_agg(
    case
      when a.attname = 'user_id' then format(
        'select %L as what, to_jsonb(t)::text as value from auth.%I as t where t.%I::text = %L',
        'another user', c.relname, a.attname, $1::text
      ) || case
        when c.relname = 'identities'
          then format(' union all select %L, to_jsonb(t)::text from auth.identities as t where t.user_id::text = %L', 'own identity', $2::text)
        else ''
      end
      else format(
        'select %L as what, md5(coalesce(string_agg(to_jsonb(t)::text, %L order by t.id), %L)) as value from auth.%I as t',
        'way to sign in', ' ', '', c.relname
      )
    end,
    ' union all ' order by c.relname
  ) as query
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid
where c.relnamespace = to_regnamespace('auth')
  and c.relkind in ('r', 'p')
  and (a.attname = 'user_id' or (a.attname = 'id' and c.relname ~ '(_providers|_domains)$'))
  and not a.attisdropped
  and has_table_privilege(c.oid, 'select')
