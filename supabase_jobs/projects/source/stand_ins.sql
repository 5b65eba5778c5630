-- What the copy creates for objects that it cannot restore: members of an extension, functions in a language other than
-- sql and plpgsql, foreign servers. `extension` is null for those that belong to none. Each is a statement for the copy.
-- A function records the call in a sequence, which a rollback does not undo, and returns nothing.
with members as (
  select
d.classid,
d.objid,
e.extname
  from pg_depend as d
  inner join pg_extension as e on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
  where d.deptype = 'e'
)

select
  1 as place,
  m.extname::text as extension,
  format('create schema if not exists %I authorization %I', n.nspname, pg_get_userbyid(n.nspowner)) as statement,
  null::text as name
from pg_namespace as n
inner join members as m on m.classid = 'pg_namespace'::regclass and n.oid = m.objid

union all

select
  2,
m.extname::text,
  case t.typtype
    when 'e' then format(
      'create type %I.%I as enum (%s)', n.nspname, t.typname,
      (select string_agg(quote_literal(l.enumlabel), ', ' order by l.enumsortorder) from pg_enum as l
where l.enumtypid = t.oid)
    )
    when 'd' then format('create domain %I.%I as %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
    when 'c' then format(
      'create type %I.%I as (%s)', n.nspname, t.typname,
      (
        select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
        from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
      )
    )
    else format('create domain %I.%I as text', n.nspname, t.typname)
  end,
  format('type %I.%I', n.nspname, t.typname)
from pg_type as t
inner join pg_namespace as n on t.typnamespace = n.oid
inner join members as m on m.classid = 'pg_type'::regclass and t.oid = m.objid
left join pg_class as c on t.typrelid = c.oid
where t.typelem = 0 and t.typtype in ('b', 'e', 'd', 'c') and (c.oid is null or c.relkind = 'c')

union all

select
  3,
m.extname::text,
  format(
    'create table %I.%I (%s)', n.nspname, c.relname,
    (
      select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum)
      from pg_attribute as a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    )
  ),
  format('%I.%I', n.nspname, c.relname)
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join members as m on m.classid = 'pg_class'::regclass and c.oid = m.objid
where c.relkind in ('r', 'p', 'v', 'm', 'f')

union all

select
  4,
m.extname::text,
  format(
    'grant %s on %I.%I to %s', g.privilege_type, n.nspname, c.relname,
    coalesce(quote_ident(pg_get_userbyid(nullif(g.grantee, 0))), 'public')
  ),
  null
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join members as m on m.classid = 'pg_class'::regclass and c.oid = m.objid
cross join lateral aclexplode(c.relacl) as g
where c.relkind in ('r', 'p', 'v', 'm', 'f')

union all

select
  4,
m.extname::text,
  format(
    'grant %s on schema %I to %s', g.privilege_type, n.nspname,
    coalesce(quote_ident(pg_get_userbyid(nullif(g.grantee, 0))), 'public')
  ),
  null
from pg_namespace as n
inner join members as m on m.classid = 'pg_namespace'::regclass and n.oid = m.objid
cross join lateral aclexplode(n.nspacl) as g

union all

select
  6,
m.extname::text,
  format(
    'create function %I.%I(%s) returns %s language plpgsql volatile security definer as %L',
    n.nspname, p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
    case
      when p.proretset or p.prorettype in ('void'::regtype, 'event_trigger'::regtype)
        then format('begin perform nextval(%L); return; end', r.recorded)
      when p.prorettype = 'trigger'::regtype
        then format('begin perform nextval(%L); return coalesce(new, old); end', r.recorded)
      else format('begin perform nextval(%L); return null; end', r.recorded)
    end
  ),
  format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
left join members as m on m.classid = 'pg_proc'::regclass and p.oid = m.objid
cross join lateral (select format('supabase_jobs_copy.%I', p.proname) as recorded) as r
where
  p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and (m.extname is not null or l.lanname not in ('sql', 'plpgsql'))

union all

select
  5,
m.extname::text,
  format('create sequence if not exists supabase_jobs_copy.%I', p.proname),
  null
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
left join members as m on m.classid = 'pg_proc'::regclass and p.oid = m.objid
where
  p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and (m.extname is not null or l.lanname not in ('sql', 'plpgsql'))

union all

-- who may call the function, where that is not everybody
select
  7,
m.extname::text,
  format(
    'revoke all on function %I.%I(%s) from public', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)
  ),
  null
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join members as m on m.classid = 'pg_proc'::regclass and p.oid = m.objid
where p.prokind = 'f' and p.proacl is not null

union all

select
  8,
m.extname::text,
  format(
    'grant execute on function %I.%I(%s) to %s',
    n.nspname, p.proname, pg_get_function_identity_arguments(p.oid),
    coalesce(quote_ident(pg_get_userbyid(nullif(g.grantee, 0))), 'public')
  ),
  null
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join members as m on m.classid = 'pg_proc'::regclass and p.oid = m.objid
cross join lateral aclexplode(p.proacl) as g
where p.prokind = 'f'

union all

select
9,
m.extname::text,
format('create foreign data wrapper %I', w.fdwname),
null
from pg_foreign_data_wrapper as w
left join members as m on m.classid = 'pg_foreign_data_wrapper'::regclass and w.oid = m.objid

union all

-- without its options, which name a host, and without user mappings
select
10,
null,
format('create server %I foreign data wrapper %I', s.srvname, w.fdwname),
format('server %I', s.srvname)
from pg_foreign_server as s
inner join pg_foreign_data_wrapper as w on s.srvfdw = w.oid

order by 1, 3
