-- The functions of schema auth that policies read the caller from: whether the body is one that Supabase ships, and
-- otherwise the string literals of the body and of the functions that it calls: the names of what it reads. And the roles
-- of requests that may not execute it.
with known (name, body) as (
  -- md5 of the body in lower case without spaces and semicolons. The versions of 2020 (one setting for each claim), 2021
  -- (all claims in one setting, two forms), 2022 and today, and that of local databases.
  values
    ('uid', '550362da24623d8505aa1571e466bd6a'),
    ('uid', '0136ee81c8826cf71dc38bcf4eda5a3d'),
    ('uid', '7ca780106fd44f45a1308326353301c4'),
    ('uid', '6e2e8081c3dcd72eec7d7ea9efe04406'),
    ('uid', 'ca808ef61dd4856166230b993c2b41b7'),
    ('role', '1f49a86e4c7bb54231295285907c9387'),
    ('role', '67c258cd38abc02e6ee5bbbc43c37776'),
    ('role', '1b9ebce7af12fb05db03b11c64fa3f76'),
    ('role', 'c6f517717f033ad4d161b014c5911e6a'),
    ('role', 'e3ae031f5262abef914672aead43bdfc'),
    ('email', '128d39abbfcc78cd4ed1f36bfc16566b'),
    ('email', 'a737cd197f467b0cfc5838064f05f303'),
    ('email', '418087f01d13e76d5ba8e8fc15a24855'),
    ('email', '82de4c768ebf02b02098b84d08a9c26f'),
    ('email', 'b5704058e840e215a89def534d762e60'),
    ('jwt', '07a4cf6b26884f54974836b497569774')
),

body as materialized (
  select
    p.oid,
    p.proname,
    p.pronamespace,
    p.proconfig,
    p.pronargs,
    l.lanname,
    coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) as text
  from pg_proc as p
  inner join pg_language as l on p.prolang = l.oid
  where p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    and p.prokind = 'f'
    and l.lanname not in ('c', 'internal')
)

select
  b.proname::text as name,
  k.is_known,
  case
    when k.is_known then '{}'
    else (
      select coalesce(array_agg(distinct m.literal[1]), '{}')
      from body as c
      cross join lateral regexp_matches(c.text, '''((?:[^'']|'''')*)''', 'g') as m (literal)
      where c.oid = b.oid
        or b.text ~* ('\m' || regexp_replace(c.proname, '(\W)', '\\\1', 'g') || '"?\s*\(')
    )
  end as literals,
  array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and not has_function_privilege(r.oid, b.oid, 'execute')
    order by r.rolname
  ) as refused
from body as b
cross join lateral (
  select
    b.lanname = 'sql'
    and coalesce(b.proconfig = array['search_path=""'], true)
    and (b.proname::text, md5(lower(regexp_replace(b.text, '[\s;]', '', 'g')))) in (
      select
        k.name,
        k.body
      from known as k
    ) as is_known
) as k
where b.pronamespace = to_regnamespace('auth')
  and b.pronargs = 0
  and b.proname in ('uid', 'role', 'email', 'jwt')
order by b.proname
