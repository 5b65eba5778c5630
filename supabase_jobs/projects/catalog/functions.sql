-- $1 platform_schemas
-- Functions and procedures. What CREATE OR REPLACE cannot change is a fact of its own: the result and the arguments.
select
  f.object,
  v.kind,
  '' as name,
  '[]'::jsonb as parents,
  v.value,
  v.create_sql,
  v.drop_sql,
  v.replace_sql
from (
  select
    p.*,
    case p.prokind when 'p' then 'procedure' else 'function' end as type,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object,
    rtrim(replace(pg_get_functiondef(p.oid), E'\r\n', E'\n'), E'\n') as definition
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where n.nspname <> all($1)
    and n.nspname !~ '^pg_'
    and p.prokind in ('f', 'p', 'w')
    and not exists (
      select from pg_depend as d
      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    )
) as f
cross join lateral (
  values
  (
    f.type,
    concat_ws(' ', f.type, format('(%s)', pg_get_function_identity_arguments(f.oid)), 'returns ' || pg_get_function_result(f.oid)),
    format(E'%s;\nrevoke all on %s %s from public, anon, authenticated, service_role;', f.definition, f.type, f.object),
    format('drop %s %s;', f.type, f.object),
    null
  ),
  ('definition', f.definition, '', '', f.definition || ';'),
  (
    'owner',
    pg_get_userbyid(f.proowner),
    format('alter %s %s owner to %I;', f.type, f.object, pg_get_userbyid(f.proowner)),
    '',
    format('alter %s %s owner to %I;', f.type, f.object, pg_get_userbyid(f.proowner))
  )
) as v (kind, value, create_sql, drop_sql, replace_sql)
