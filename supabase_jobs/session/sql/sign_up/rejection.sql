-- $1 schema, $2 table, $3 constraint, $4 datatype, $5 context
-- What the project's triggers and constraints need of a new user, read from their texts after a rejection:
--   key     a metadata key that a trigger reads; its type, from a cast or from a column of that name
--   column  a column of a table in these texts; its type
--   value   a column of the violated CHECK constraint; one of the values that it lists
--   domain  a domain of email addresses in a text
--   allow   a table of addresses or domains that a trigger or foreign key consults, or one to which the violated foreign
--           key refers by uuid; the statement that adds the users'
--   remove  the same table; the statement that removes the values which the former returned
-- $1 to $4 are those of the error: its constraint or the domain type.
with recursive functions as (
  select
    p.oid,
    p.proname,
    p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '') as text
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  where n.nspname <> 'information_schema' and n.nspname !~ '^pg_' and l.lanname in ('plpgsql', 'sql')
),

refusing as (
  select c.oid
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where n.nspname = $1 and c.relname = $2
),

refusing_types as (
  select t.oid
  from pg_type as t
  inner join pg_namespace as n on t.typnamespace = n.oid
  where n.nspname = $1 and t.typname = $4
),

triggers as (
  select tgfoid
  from pg_trigger
  where not tgisinternal and (tgrelid = 'auth.users'::regclass or tgrelid = any(select refusing.oid from refusing))
),

-- the functions of triggers on auth.users and the refusing table, those in the context, and the functions they call
sign_up as (
  select
    f.oid,
    f.text
  from functions as f
  where
    f.text ~ 'raw_user_meta_data'
    or position('.' || f.proname || '(' in $5) > 0
    or f.oid = any(select triggers.tgfoid from triggers)
  union
  select
    called.oid,
    called.text
  from sign_up
  inner join functions as called on position(called.proname || '(' in sign_up.text) > 0
),

violated as (
  select
    c.conrelid,
    c.confrelid,
    c.conkey,
    c.confkey,
    pg_get_constraintdef(c.oid) as text
  from pg_constraint as c
  where
    c.conname = $3
    and (
      c.conrelid = any(select refusing.oid from refusing)
      or c.contypid = any(select refusing_types.oid from refusing_types)
    )
),

texts as (
  select sign_up.text from sign_up
  union
  select violated.text from violated
),

-- as in the text, but without the escapes of regular expressions
literals as (
  select replace(replace(found.match[1], '\.', '.'), '[.]', '.') as literal
  from texts
  cross join lateral regexp_matches(texts.text, '''((?:[^'']|'''')*)''', 'g') as found (match)
),

user_tables as (
  select
    c.oid,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where
    c.relkind in ('r', 'p')
    and n.nspname not in ('auth', 'information_schema')
    and n.nspname !~ '^pg_'
    and c.relname ~ '^\w+$'
),

named as (
  select user_tables.*
  from user_tables
  where exists (
    select
    from texts
    where position(user_tables.relname in texts.text) > 0
  )
),

consulted as (
  select named.*
  from named
  where
    named.oid = any(select violated.confrelid from violated)
    or exists (
      select
      from texts
      where texts.text ~* format('\m(from|join)\s+("?\w+"?\.)?"?%s\M', named.relname)
    )
),

columns as (
  select
    a.attrelid,
    a.attnum,
    a.attname,
    a.atttypid,
    t.typcategory,
    format_type(a.atttypid, a.atttypmod) as type,
    a.attnotnull and not a.atthasdef and a.attidentity = '' as is_required
  from pg_attribute as a
  inner join pg_type as t on a.atttypid = t.oid
  where a.attnum > 0 and not a.attisdropped
),

-- the first label stands for an enum
labels as (
  select
    t.oid,
    t.typname,
    'enum ' || (array_agg(e.enumlabel order by e.enumsortorder))[1] as type
  from pg_enum as e
  inner join pg_type as t on e.enumtypid = t.oid
  group by t.oid, t.typname
),

types as (
  select
    c.attname,
    min(coalesce(labels.type, format_type(c.atttypid, null))) as type
  from named
  inner join columns as c on named.oid = c.attrelid
  left join labels on c.atttypid = labels.oid
  group by c.attname
),

allow_lists as (
  select
    consulted.name,
    quote_ident(listed.attname) as listed,
    case when listed.attname ~ 'domain' then 'split_part(email, ''@'', 2)' else 'email' end as value
  from consulted
  inner join columns as listed on consulted.oid = listed.attrelid
  where
    listed.attname ~ 'mail|domain|address'
    and listed.typcategory = 'S'
    and not exists (
      select
      from columns as other
      where other.attrelid = consulted.oid and other.is_required and other.attnum <> listed.attnum
    )
),

-- the table and key to which the violated foreign key refers, with values for its other columns that need one
referenced as (
  select
    user_tables.name,
    quote_ident(key.attname) as key,
    coalesce(other.names, '') as names,
    coalesce(other.filled, '') as filled
  from violated
  inner join user_tables on violated.confrelid = user_tables.oid
  inner join columns as key on violated.confrelid = key.attrelid and key.attnum = violated.confkey[1]
  cross join lateral (
    select
      string_agg(format(', %I', c.attname), '' order by c.attnum) as names,
      string_agg(
        ', ' || case
          when c.typcategory = 'S' then 'md5(given.id)'
          when c.typcategory = 'N' then '1'
          when c.typcategory = 'B' then 'true'
          when c.typcategory = 'D' then 'now()'
          when c.typcategory = 'E' then quote_literal((enum_labels.labels)[1])
          when c.type = 'uuid' then 'given.id'
          else '''{}'''
        end || '::' || c.type, '' order by c.attnum
      ) as filled
    from columns as c
    left join lateral (
      select array_agg(e.enumlabel order by e.enumsortorder) as labels
      from pg_enum as e
      where e.enumtypid = c.atttypid
    ) as enum_labels on true
    where c.attrelid = key.attrelid and c.attnum <> key.attnum and c.is_required
  ) as other
  where cardinality(violated.confkey) = 1 and key.type = 'uuid'
)

select
  'key' as kind,
  read.key as name,
  min(coalesce(labels.type, read.type, types.type, 'text')) as value
from (
  select
    found.match[1] as key,
    lower(found.match[2]) as type
  from texts
  cross join lateral regexp_matches(
    texts.text, '->>?\s*''(\w+)''\)?(?:\s*::\s*(?:"?\w+"?\.)?"?(\w+))?', 'g'
  ) as found (match)
) as read
left join types on read.key = types.attname
left join labels on read.type = labels.typname
group by read.key
union all
select
  'column' as kind,
  types.attname as name,
  types.type as value
from types
union all
select
  'value' as kind,
  c.attname as name,
  min(found.match[1]) as value
from violated
inner join columns as c on violated.conrelid = c.attrelid and c.attnum = any(violated.conkey)
cross join lateral regexp_matches(violated.text, '''([^'']*)''::', 'g') as found (match)
where violated.text !~ '~'
group by c.attname
union all
select distinct
  'domain' as kind,
  '' as name,
  lower(found.match[1]) as value
from literals
cross join lateral regexp_matches(
  regexp_replace(literals.literal, '^%?(\.[A-Za-z]{2,})\$?$', 'example\1'), '((?:[a-z0-9-]+\.)+[a-z]{2,})', 'gi'
) as found (match)
where literals.literal !~ '/'
union all
select
  'allow' as kind,
  allow_lists.name,
  format(
    'insert into %s (%s) select distinct %s from jsonb_to_recordset($1::jsonb) as new_user (email text) '
    || 'where email is not null on conflict do nothing returning %2$s::text',
    allow_lists.name, allow_lists.listed, allow_lists.value
  ) as value
from allow_lists
union all
-- the ids that metadata has, and those in the texts
select
  'allow' as kind,
  referenced.name,
  format(
    'insert into %s (%s%s) select given.id::uuid%s from ('
    || 'select m.value as id from jsonb_to_recordset($1::jsonb) as new_user (user_metadata jsonb), '
    || 'jsonb_each_text(new_user.user_metadata) as m where m.key <> ''sub'' union select unnest(%L::text[])) as given '
    || 'where given.id ~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'' on conflict do nothing returning %2$s::text',
    referenced.name, referenced.key, referenced.names, referenced.filled,
    array(select distinct literals.literal from literals)
  ) as value
from referenced
union all
select
  'remove' as kind,
  allow_lists.name,
  format('delete from %s where %s::text = any($1)', allow_lists.name, allow_lists.listed) as value
from allow_lists
union all
select
  'remove' as kind,
  referenced.name,
  format('delete from %s where %s::text = any($1)', referenced.name, referenced.key) as value
from referenced
order by kind, name, value
