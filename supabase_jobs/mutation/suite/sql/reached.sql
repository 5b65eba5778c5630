-- $1 function, $2 functions of which a call had an effect
-- Whether a function runs when requests act on tables and views, or when these functions are called: a policy, trigger,
-- view, default, constraint or index refers to it, or the body of such a function names it.
with recursive project as (
  select
    p.oid,
    p.proname,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as signature,
    lower(case when p.prosqlbody is null then p.prosrc else pg_get_function_sqlbody(p.oid) end) as body
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where n.nspname not in ('pg_catalog', 'information_schema')
),

run as (
  select
    p.oid,
    p.body
  from project as p
  where p.signature = any($2)
    or exists (
      select from pg_depend as d
      where d.refclassid = 'pg_proc'::regclass
        and d.refobjid = p.oid
        and d.classid in (
          'pg_policy'::regclass, 'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_attrdef'::regclass,
          'pg_constraint'::regclass, 'pg_class'::regclass
        )
    )
  union
  select
    p.oid,
    p.body
  from run as r
  inner join project as p on position(lower(p.proname) in r.body) > 0
)

select count(*) > 0 as reached
from run as r
inner join project as p on r.oid = p.oid
where p.signature = $1
