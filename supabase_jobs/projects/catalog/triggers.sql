-- $1 platform_schemas
-- Triggers of the project's tables, and those of platform tables that call a function of the project; rules; event
-- triggers.
with found as (
  select
    t.oid,
    t.tgname,
    t.tgenabled,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_trigger as t
  inner join pg_class as c on t.tgrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  inner join pg_proc as p on t.tgfoid = p.oid
  inner join pg_namespace as f on p.pronamespace = f.oid
  where not t.tgisinternal
    and t.tgparentid = 0
    and n.nspname !~ '^pg_'
    and (n.nspname <> all($1) or (f.nspname <> all($1) and f.nspname <> 'pg_catalog'))
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_trigger'::regclass and d.objid = t.oid and d.deptype = 'e'
    )
)

select
  t.object,
  'trigger' as kind,
  t.tgname::text as name,
  '[]'::jsonb as parents,
  pg_get_triggerdef(t.oid) as value,
  pg_get_triggerdef(t.oid) || ';' as create_sql,
  format('drop trigger %I on %s;', t.tgname, t.object) as drop_sql,
  null as replace_sql
from found as t
union all
select
  t.object,
  'state of trigger',
  t.tgname,
  jsonb_build_array(jsonb_build_array(t.object, 'trigger', t.tgname)),
  s.state,
  format('alter table %s %s trigger %I;', t.object, s.state, t.tgname),
  format('alter table %s enable trigger %I;', t.object, t.tgname),
  format('alter table %s %s trigger %I;', t.object, s.state, t.tgname)
from found as t
inner join (values ('D', 'disable'), ('A', 'enable always'), ('R', 'enable replica')) as s (code, state)
  on t.tgenabled::text = s.code
union all
select
  format('%I.%I', n.nspname, c.relname),
  'rule',
  r.rulename,
  '[]',
  pg_get_ruledef(r.oid),
  pg_get_ruledef(r.oid),
  format('drop rule %I on %I.%I;', r.rulename, n.nspname, c.relname),
  null
from pg_rewrite as r
inner join pg_class as c on r.ev_class = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname <> all($1)
  and n.nspname !~ '^pg_'
  and r.rulename <> '_RETURN'
union all
select
  quote_ident(e.evtname),
  'event trigger',
  '',
  '[]',
  s.definition,
  s.definition || ';',
  format('drop event trigger %I;', e.evtname),
  null
from pg_event_trigger as e
inner join pg_proc as p on e.evtfoid = p.oid
inner join pg_namespace as f on p.pronamespace = f.oid
cross join lateral (
  select
    format('create event trigger %I on %s', e.evtname, e.evtevent)
    || coalesce((
      select ' when tag in (' || string_agg(quote_literal(t.tag), ', ' order by t.tag) || ')'
      from unnest(e.evttags) as t (tag)
    ), '')
    || format(' execute function %I.%I()', f.nspname, p.proname) as definition
) as s
where f.nspname <> all($1)
