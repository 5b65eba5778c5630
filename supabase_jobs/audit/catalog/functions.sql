-- $1 schemas
-- Functions of these schemas, and those that the project has added to the schema of Auth, with the API roles that may
-- execute each; those of extensions are left out. `body` is the text of the body, or the definition if the body was
-- parsed when the function was created.
select
  p.oid::bigint as oid,
  n.nspname::text as schema,
  p.proname::text as name,
  format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as signature,
  l.lanname::text as language,
  case when p.prosqlbody is null then p.prosrc else pg_get_function_sqlbody(p.oid) end as body,
  p.prosecdef as definer,
  p.provolatile::text as volatility,
  p.prokind::text as kind,
  p.proretset as returns_set,
  format_type(p.prorettype, null) as result,
  coalesce(p.proargnames, '{}') as argument_names,
  array(
    select format_type(t.oid, null)
    from unnest(p.proargtypes::oid []) with ordinality as t (oid, ord)
    order by t.ord
  ) as argument_types,
  array(
    select coalesce(
      (
        select json_agg(e.enumlabel order by e.enumsortorder)::text
        from pg_enum as e
        where e.enumtypid = t.oid
      ),
      ''
    )
    from unnest(p.proargtypes::oid []) with ordinality as t (oid, ord)
    order by t.ord
  ) as argument_labels,
  array(
    select y.typrelid::bigint
    from unnest(p.proargtypes::oid []) with ordinality as t (oid, ord)
    inner join pg_type as y on t.oid = y.oid
    order by t.ord
  ) as argument_relations,
  p.pronargdefaults::integer as defaults,
  array(
    select r.rolname::text
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and has_function_privilege(r.oid, p.oid, 'EXECUTE')
  ) as callers,
  p.provariadic <> 0 as takes_any_number
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
where (
    (n.nspname = any($1) and n.nspname <> 'storage')
    or (n.nspname = 'auth' and pg_get_userbyid(p.proowner) <> 'supabase_auth_admin')
  )
  and not exists (
    select from pg_depend as d
    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  )
order by n.nspname, p.proname, p.oid
