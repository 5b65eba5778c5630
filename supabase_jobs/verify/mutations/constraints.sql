-- Constraints: dropped, true, not valid, not enforced, deferred, other actions of foreign keys.
select
  format('%s:%s:%s', v.operator, k.object, k.conname) as id,
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
    'not valid for the rows that are there',
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
    'on-delete-' || replace(a.action, ' ', '-'),
    'on delete ' || a.action,
    k.add || regexp_replace(k.definition, ' ON DELETE [A-Z]+( NULL| DEFAULT| ACTION)?( \([^)]*\))?', '')
    || format(' on delete %s;', a.action)
  from (
    values
    ('a', 'no action'), ('r', 'restrict'), ('c', 'cascade'), ('n', 'set null'), ('d', 'set default')
  ) as a (code, action)
  where k.contype = 'f'
    and k.confdeltype <> a.code
) as v
where k.object = any($1)
