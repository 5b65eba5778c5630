-- $1 findings, $2 managed
-- The definitions that entries of [allowed_bypasses] and [allowed_privileges] pin: for each finding the name of its
-- entry, and the SHA-256 of what was reviewed. $1 is a JSON array of objects: finding (its id), name (of the object that
-- bypasses row level security, or null), object, role and privilege (of an inherited privilege), revoked (the privileges
-- of a table that a role no longer has). $2 are the names of the managed objects. Needs an empty search_path.
--
-- A definition contains the functions and views of the project that the object uses, and who can use it. Functions find
-- others by name. Managed objects are left out: verify compares them with the migrations.
with recursive pending as (
  select
    f.finding,
    f.name,
    f.object,
    f.role,
    f.privilege,
    f.revoked
  from jsonb_to_recordset($1) as f (finding text, name text, object text, role text, privilege text, revoked text [])
),

relation as (
  select
    c.oid,
    c.relkind,
    c.relowner,
    c.relacl,
    c.reloptions,
    c.relrowsecurity,
    c.relname as bare_name,
    n.nspname,
    format('%I.%I', n.nspname, c.relname) as name
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname not in ('pg_catalog', 'information_schema')
),

routine as (
  select
    p.oid,
    p.proowner,
    p.proacl,
    p.proname as bare_name,
    n.nspname,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as name
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  where n.nspname not in ('pg_catalog', 'information_schema')
    and p.prokind in ('f', 'p', 'w')
    and l.lanname not in ('c', 'internal')
),

project_owner as (
  select distinct r.relowner as oid
  from relation as r
  where r.name = any($2)
),

-- roles that a request can act as
caller as (
  select 'public' as name
  union
  select o.rolname::text
  from pg_roles as o
  where not o.rolbypassrls
    and (
      o.rolname in ('anon', 'authenticated')
      or (o.rolname <> 'authenticator' and pg_has_role(to_regrole('authenticator')::oid, o.oid, 'member'))
    )
),

-- user functions and views that others can use by name
used as materialized (
  select
    'pg_proc'::regclass as classid,
    p.oid,
    p.name,
    concat_ws(E'\n', pg_get_functiondef(p.oid), 'owner ' || pg_get_userbyid(p.proowner)) as text,
    '(?<![\w$])"?' || regexp_replace(p.bare_name, '(\W)', '\\\1', 'g') || '"?\s*\(' as pattern
  from routine as p
  where p.proowner in (select o.oid from project_owner as o)
    and p.name <> all($2)
  union all
  select
    'pg_class'::regclass,
    r.oid,
    r.name,
    concat_ws(E'\n', pg_get_viewdef(r.oid), r.reloptions::text, 'owner ' || pg_get_userbyid(r.relowner)),
    '(?<![\w$])"?' || regexp_replace(r.bare_name, '(\W)', '\\\1', 'g') || '"?(?![\w$(])'
  from relation as r
  where r.relkind in ('v', 'm')
    and r.relowner in (select o.oid from project_owner as o)
    and r.name <> all($2)
),

policy as (
  select
    p.oid,
    r.name as object,
    p.polname,
    p.polpermissive,
    a.roles,
    a.reachable,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end
      as command,
    pg_get_expr(p.polqual, p.polrelid) as visible,
    pg_get_expr(p.polwithcheck, p.polrelid) as allowed
  from pg_policy as p
  inner join relation as r on p.polrelid = r.oid
  cross join lateral (
    select
      array_agg(case o.oid when 0 then 'public' else pg_get_userbyid(o.oid)::text end order by o.oid = 0, pg_get_userbyid(o.oid))
        as roles,
      bool_or(o.oid = 0 or coalesce(pg_has_role(to_regrole('authenticator')::oid, o.oid, 'member'), false)) as reachable
    from unnest(p.polroles) as o (oid)
  ) as a
),

subject as (
  select
    f.finding,
    'allowed_bypasses' as section,
    f.name,
    'pg_proc'::regclass as classid,
    p.oid,
    concat_ws(
      E'\n',
      pg_get_functiondef(p.oid),
      'owner ' || pg_get_userbyid(p.proowner),
      (
        select 'executable by ' || string_agg(c.name, ', ' order by c.name)
        from caller as c
        where has_function_privilege(c.name, p.oid, 'execute')
      ),
      (
        select string_agg(pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text, E'\n' order by pg_get_triggerdef(t.oid))
        from pg_trigger as t
        where t.tgfoid = p.oid
          and not t.tgisinternal
      )
    ) as definition,
    null::text as restrictive_for,
    null::text[] as roles
  from pending as f
  inner join routine as p on f.name = p.name
  union all
  select
    f.finding,
    'allowed_bypasses',
    f.name,
    'pg_class'::regclass,
    r.oid,
    concat_ws(
      E'\n',
      case when r.relkind in ('v', 'm') then pg_get_viewdef(r.oid) end,
      r.reloptions::text,
      'owner ' || pg_get_userbyid(r.relowner),
      'row level security ' || r.relrowsecurity,
      (
        select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attname)
        from pg_attribute as a
        where a.attrelid = r.oid
          and a.attnum > 0
          and not a.attisdropped
      ),
      (
        select string_agg(pg_get_ruledef(w.oid), E'\n' order by w.rulename)
        from pg_rewrite as w
        where w.ev_class = r.oid
          and w.rulename <> '_RETURN'
      ),
      (
        select string_agg(format('%s %s', c.name, u.privileges), ', ' order by c.name)
        from caller as c
        cross join lateral (
          select concat_ws(
            ' ',
            case when has_any_column_privilege(c.name, r.oid, 'select') then 'selects' end,
            case when has_any_column_privilege(c.name, r.oid, 'insert') then 'inserts' end,
            case when has_any_column_privilege(c.name, r.oid, 'update') then 'updates' end,
            case when has_table_privilege(c.name, r.oid, 'delete') then 'deletes' end
          ) as privileges
        ) as u
        where u.privileges <> ''
      )
    ),
    null,
    null
  from pending as f
  inner join relation as r on f.name = r.name
  union all
  select
    f.finding,
    'allowed_bypasses',
    format('trigger %I on %s', t.tgname, r.name),
    'pg_trigger'::regclass,
    t.oid,
    concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled::text),
    null,
    null
  from pg_trigger as t
  inner join relation as r on t.tgrelid = r.oid
  inner join pending as f on f.finding = format('structure:%s:trigger:%s', r.name, t.tgname)
  union all
  -- a member of a role that bypasses row level security, with all of its memberships
  select
    f.finding,
    'allowed_bypasses',
    quote_ident(g.rolname),
    'pg_authid'::regclass,
    g.oid,
    concat_ws(
      E'\n',
      (
        select 'member of ' || string_agg(distinct o.rolname, ', ' order by o.rolname)
        from pg_auth_members as m
        inner join pg_roles as o on m.roleid = o.oid
        where m.member = g.oid
      ),
      case when g.rolcanlogin then 'can log in' end,
      case when pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member') then 'requests can act as the role' end
    ),
    null,
    null
  from pg_roles as g
  inner join pg_roles as r on g.oid <> r.oid
  inner join pending as f
    on f.finding = format('structure:lint:role_memberships:%s:%s', quote_ident(r.rolname), quote_ident(g.rolname))
  union all
  select
    f.finding,
    'allowed_privileges',
    format('policy %I on %s', p.polname, p.object),
    'pg_policy'::regclass,
    p.oid,
    concat_ws(
      E'\n',
      format(
        '%s for %s to %s',
        case when p.polpermissive then 'permissive' else 'restrictive' end,
        p.command,
        array_to_string(p.roles, ', ')
      ),
      'using ' || p.visible,
      'with check ' || p.allowed,
      case when p.reachable then 'requests can act as one of the roles' end
    ),
    case when not p.polpermissive then p.command end,
    p.roles
  from policy as p
  inner join pending as f on f.finding = format('structure:%s:policy:%s', p.object, p.polname)
),

uses (finding, name, classid, oid) as (
  select
    s.finding,
    s.name,
    s.classid,
    s.oid
  from subject as s
  union
  select
    u.finding,
    u.name,
    e.classid,
    e.oid
  from uses as u
  cross join lateral (
    select
      d.refclassid as classid,
      d.refobjid as oid
    from pg_depend as d
    where d.classid = u.classid
      and d.objid = u.oid
      and u.classid in ('pg_policy'::regclass, 'pg_trigger'::regclass)
    union all
    select
      d.refclassid,
      d.refobjid
    from pg_rewrite as w
    inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
    where w.ev_class = u.oid
      and u.classid = 'pg_class'::regclass
    union all
    select
      x.classid,
      x.oid
    from used as x
    where u.classid = 'pg_proc'::regclass
      and (
        select p.prosrc || coalesce(pg_get_function_sqlbody(p.oid), '')
        from pg_proc as p
        where p.oid = u.oid
      ) ~* x.pattern
  ) as e
  inner join used as k on e.classid = k.classid and e.oid = k.oid
),

-- privileges that were granted, one by one; grants of columns count for the table in the access area
unit as (
  select
    'structure:%s:grant:%s' as structure,
    r.name as object,
    g.grantee,
    '' as part,
    g.privilege_type,
    g.is_grantable,
    format('%%s: %s on %s', lower(g.privilege_type), r.name) as name
  from relation as r
  cross join lateral aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) as g
  where r.name = any($2)
    and g.grantee <> r.relowner
  union all
  select
    'structure:%s:grant of column:%3$s to %2$s',
    r.name,
    g.grantee,
    a.attname,
    g.privilege_type,
    g.is_grantable,
    format('%%s: %s (%I) on %s', lower(g.privilege_type), a.attname, r.name)
  from relation as r
  inner join pg_attribute as a on r.oid = a.attrelid
  cross join lateral aclexplode(a.attacl) as g
  where r.name = any($2)
    and g.grantee <> r.relowner
  union all
  select
    'structure:%s:execute:%s',
    p.name,
    g.grantee,
    '',
    g.privilege_type,
    g.is_grantable,
    format('%%s: execute on %s', p.name)
  from routine as p
  cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
  where p.name = any($2)
    and g.grantee <> p.proowner
  union all
  select
    'structure:%s:schema grant:%s',
    format('%I', n.nspname),
    g.grantee,
    '',
    g.privilege_type,
    g.is_grantable,
    format('%%s: %s on schema %I', lower(g.privilege_type), n.nspname)
  from pg_namespace as n
  cross join lateral aclexplode(n.nspacl) as g
  where format('%I', n.nspname) = any($2)
    and g.grantee <> n.nspowner
),

privilege as (
  select
    v.finding,
    replace(u.name, '%s', i.grantee) as name,
    concat_ws(
      E'\n',
      u.privilege_type || case when u.is_grantable then ' with grant option' else '' end,
      i.attributes
    ) as definition
  from unit as u
  cross join lateral (
    select
      case u.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(u.grantee)) end as grantee,
      case u.grantee when 0 then 'public' else pg_get_userbyid(u.grantee)::text end as role,
      case
        when u.grantee = 0 or coalesce(pg_has_role(to_regrole('authenticator')::oid, u.grantee, 'member'), false)
          then 'requests can act as the role'
      end as attributes
  ) as i
  cross join lateral (
    values
    (format(u.structure, u.object, i.grantee, u.part)),
    (format('access:%s:%s may %s', u.object, i.role, u.privilege_type))
  ) as v (finding)
  inner join pending as f on v.finding = f.finding
  where f.revoked is null
),

-- privileges that were revoked, one by one, with the columns for which the role still has them; these roles are quoted
narrowed as (
  select
    f.finding,
    format('%s: no %s on %s', f.role, lower(o.privilege), f.object) as name,
    concat_ws(
      E'\n',
      o.privilege || ' revoked',
      (
        select 'except of columns ' || string_agg(u.part, ', ' order by u.part)
        from unit as u
        where u.object = f.object
          and u.part <> ''
          and u.privilege_type = o.privilege
          and u.grantee = to_regrole(f.role)
      )
    ) as definition,
    lower(o.privilege) as command,
    array[pg_get_userbyid(to_regrole(f.role))::text] as roles
  from pending as f
  cross join lateral unnest(f.revoked) as o (privilege)
),

inherited as (
  select
    f.finding,
    format('%s: %s on %s', case f.role when 'public' then f.role else quote_ident(f.role) end, lower(f.privilege), f.object)
      as name,
    f.privilege || ' inherited' as definition
  from pending as f
  where f.role is not null
    and f.revoked is null
    and f.finding not in (select p.finding from privilege as p)
),

pinned as (
  select
    s.finding,
    s.section,
    s.name,
    concat_ws(
      E'\n',
      s.definition,
      (
        select string_agg(x.text, E'\n' order by x.name)
        from uses as u
        inner join used as x on u.classid = x.classid and u.oid = x.oid
        where u.finding = s.finding
          and u.name = s.name
          and (u.classid, u.oid) <> (s.classid, s.oid)
      )
    ) as definition,
    s.restrictive_for,
    s.roles,
    false as is_revoked
  from subject as s
  union all
  select
    p.finding,
    'allowed_privileges',
    p.name,
    p.definition,
    null,
    null,
    false
  from privilege as p
  union all
  select
    i.finding,
    'allowed_privileges',
    i.name,
    i.definition,
    null,
    null,
    false
  from inherited as i
  union all
  select
    n.finding,
    'allowed_privileges',
    n.name,
    n.definition,
    n.command,
    n.roles,
    true
  from narrowed as n
)

select
  p.finding,
  p.section,
  p.name,
  encode(sha256(convert_to(p.definition, 'UTF8')), 'hex') as sha256,
  p.restrictive_for,
  p.roles,
  p.is_revoked
from pinned as p
order by p.finding, p.name
