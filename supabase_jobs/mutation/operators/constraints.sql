-- Constraints: dropped, always true, negated, not valid, not enforced, not inherited, deferred, other columns; foreign
-- keys with another referenced table or other actions.
select
  array[v.operator, k.object, k.conname] as id,
  k.object,
  format('constraint "%s": %s', k.conname, v.description) as description,
  k.drop || v.definition as sql
from (
  select
    o.*,
    pg_get_constraintdef(o.oid) as definition,
    format('%I.%I', n.nspname, c.relname) as object,
    format('alter table %I.%I drop constraint %I cascade;', n.nspname, c.relname, o.conname) as drop,
    format('alter table %I.%I add constraint %I ', n.nspname, c.relname, o.conname) as add
  from pg_constraint as o
  inner join pg_class as c on o.conrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where o.contype not in ('n', 't')
) as k
cross join lateral (
  select
    'drop' as operator,
    'dropped' as description,
    '' as definition
  union all
  select
    'true',
    'always true',
    k.add || 'check (true);'
  where k.contype = 'c'
  union all
  select
    'negated',
    'negated',
    k.add || format('check (not (%s)) not valid;', pg_get_expr(k.conbin, k.conrelid))
  where k.contype = 'c'
  union all
  select
    'not-valid',
    'not validated for existing rows',
    k.add || k.definition || ' not valid;'
  where k.contype in ('c', 'f')
    and k.convalidated
  union all
  select
    'not-enforced',
    'not enforced',
    k.add || k.definition || ' not enforced;'
  where k.contype in ('c', 'f')
    and current_setting('server_version_num')::integer >= 180000
  union all
  select
    'no-inherit',
    'not inherited',
    k.add || k.definition || ' no inherit;'
  where k.contype = 'c'
    and not k.connoinherit
  union all
  select
    'deferred',
    'checked at the end of the transaction only',
    k.add || k.definition || ' deferrable initially deferred;'
  where k.contype in ('f', 'p', 'u', 'x')
    and not k.condeferrable
  union all
  select
    'unique',
    'unique instead of the primary key',
    k.add || replace(k.definition, 'PRIMARY KEY', 'UNIQUE') || ';'
  where k.contype = 'p'
  union all
  select
    format('on-%s-%s', e.event, replace(a.action, ' ', '-')),
    format('on %s %s', e.event, a.action),
    k.add || regexp_replace(k.definition, e.clause, '') || format(' on %s %s;', e.event, a.action)
  from (
    values
    ('a', 'no action'), ('r', 'restrict'), ('c', 'cascade'), ('n', 'set null'), ('d', 'set default')
  ) as a (code, action)
  cross join (
    values
    ('delete', ' ON DELETE [A-Z]+( NULL| DEFAULT| ACTION)?( \([^)]*\))?'),
    ('update', ' ON UPDATE [A-Z]+( NULL| DEFAULT| ACTION)?')
  ) as e (event, clause)
  where k.contype = 'f'
    and case e.event when 'delete' then k.confdeltype else k.confupdtype end <> a.code
  union all
  -- its columns in reverse order, if the types allow it
  select
    'reversed',
    'columns in reverse order',
    k.add || regexp_replace(k.definition, '\([^)]*\)', format('(%s)', o.columns)) || ';'
  from (
    select
      string_agg(quote_ident(a.attname), ', ' order by n.number desc) as columns,
      array_agg(a.atttypid order by n.number desc) = array_agg(a.atttypid order by n.number) as fits
    from unnest(k.conkey) with ordinality as n (attnum, number)
    inner join pg_attribute as a on k.conrelid = a.attrelid and n.attnum = a.attnum
  ) as o
  where cardinality(k.conkey) > 1
    and (k.contype in ('p', 'u') or (k.contype = 'f' and o.fits))
  union all
  select
    format('without-%s', l.attnum),
    format('without column "%s"', l.attname),
    k.add || regexp_replace(k.definition, '\([^)]*\)', format('(%s)', (
      select string_agg(quote_ident(a.attname), ', ' order by n.number)
      from unnest(k.conkey) with ordinality as n (attnum, number)
      inner join pg_attribute as a on k.conrelid = a.attrelid and n.attnum = a.attnum
      where a.attnum <> l.attnum
    ))) || ';'
  from pg_attribute as l
  where k.contype in ('p', 'u')
    and cardinality(k.conkey) > 1
    and l.attrelid = k.conrelid
    and l.attnum = any(k.conkey)
  union all
  -- the referenced table of another foreign key, if the types allow it
  select
    format('elsewhere-%s', row_number() over (order by r.target)),
    format('references %s', r.target),
    k.add || regexp_replace(k.definition, ' REFERENCES [^(]*\([^)]*\)', format(' REFERENCES %s', r.target)) || ';'
  from (
    select distinct substring(pg_get_constraintdef(o.oid) from ' REFERENCES ([^(]*\([^)]*\))') as target
    from pg_constraint as o
    where o.conrelid = k.conrelid
      and o.contype = 'f'
      and (o.confrelid, o.confkey) <> (k.confrelid, k.confkey)
      and (
        select array_agg(a.atttypid order by n.number)
        from unnest(o.conkey) with ordinality as n (attnum, number)
        inner join pg_attribute as a on o.conrelid = a.attrelid and n.attnum = a.attnum
      ) = (
        select array_agg(a.atttypid order by n.number)
        from unnest(k.conkey) with ordinality as n (attnum, number)
        inner join pg_attribute as a on k.conrelid = a.attrelid and n.attnum = a.attnum
      )
  ) as r
  where k.contype = 'f'
) as v
where k.object = any($1)
