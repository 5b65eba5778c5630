-- What an audit of a database in use would disturb, by name: it inserts rows, and holds them until it ends. The texts of
-- triggers say what to look at; nothing here is called.
with triggers as (
  select
    format('%I on %I.%I', t.tgname, n.nspname, c.relname) as name,
    lower(p.prosrc) as body
  from pg_trigger as t
  inner join pg_proc as p on t.tgfoid = p.oid
  inner join pg_class as c on t.tgrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where not t.tgisinternal and t.tgenabled <> 'D' and n.nspname not in ('pg_catalog', 'information_schema')
)

select
  1 as place,
  t.name,
  'the trigger may reach other systems' as why
from triggers as t
where t.body ~ '\m(dblink\w*|http\w*|net\.http\w*|pg_notify|notify|pg_logical_emit_message|lo_export)\M|\mcopy\M.*\mprogram\M'

union all

select
  2 as place,
  t.name,
  'the trigger takes an advisory lock' as why
from triggers as t
where t.body ~ '\mpg_(try_)?advisory'

union all

select
  3 as place,
  t.name,
  'the trigger changes rows, on which others then wait' as why
from triggers as t
where t.body ~ '\m(update\s+[\w".]+\s+(as\s+\w+\s+)?set|insert\s+into|delete\s+from)\M'

union all

select
  4 as place,
  format('sequence %I.%I', s.schemaname, s.sequencename) as name,
  'it has fewer than 10,000 numbers left' as why
from pg_sequences as s
where not s.cycle and abs(s.max_value - coalesce(s.last_value, s.start_value)) / abs(s.increment_by) < 10000

union all

select
  5 as place,
  format('%I.%I', n.nspname, c.relname) as name,
  format('the table has about %s rows', c.reltuples::bigint) as why
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and c.reltuples > 100000 and n.nspname not in ('pg_catalog', 'information_schema')
order by place, name
