-- Policies: command, roles, USING and WITH CHECK; and the effect of all policies of a table for each role and command.
-- Two sets of policies with the same effect are equivalent, whatever their names and number.
--
-- Expressions are normalized: an omitted WITH CHECK is the USING expression, the operands of = are sorted, and aliases
-- in sub-selects are removed.
with policy as (
  select
    p.polname,
    p.polcmd,
    p.polpermissive,
    p.polroles,
    -- what it hides depends on the claims of the caller alone: on no column, other table, function of the project or time
    not exists (
      select 1 from pg_depend as d
      where d.classid = 'pg_policy'::regclass
        and d.objid = p.oid
        and (
          d.refclassid = 'pg_class'::regclass and (d.refobjid <> c.oid or d.refobjsubid > 0)
          or d.refclassid = 'pg_proc'::regclass
          and d.refobjid not in (
            select f.oid from pg_proc as f
            where f.pronamespace = to_regnamespace('auth')
          )
        )
    )
    and regexp_replace(
      concat_ws(' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)),
      '''(?:[^'']|'''')*''|\mauth\.\w+\(|\m(COALESCE|NULLIF|lower|upper)\(',
      '',
      'g'
    ) !~ '\w\(|\m(CURRENT|LOCAL|SESSION)' as of_claims,
    n.nspname,
    c.relname,
    format('%I.%I', n.nspname, c.relname) as object,
    pg_get_expr(p.polqual, p.polrelid) as written_visible,
    pg_get_expr(p.polwithcheck, p.polrelid) as written_allowed,
    e.visible,
    coalesce(e.allowed, case when p.polcmd in ('w', '*') then e.visible end) as allowed,
    e.bare_visible,
    coalesce(e.bare_allowed, case when p.polcmd in ('w', '*') then e.bare_visible end) as bare_allowed,
    e.swapped_visible,
    coalesce(e.swapped_allowed, case when p.polcmd in ('w', '*') then e.swapped_visible end) as swapped_allowed,
    (
      select string_agg(case r.oid when 0 then 'public' else quote_ident(pg_get_userbyid(r.oid)) end, ', ' order by 1)
      from unnest(p.polroles) as r (oid)
    ) as roles
  from pg_policy as p
  inner join pg_class as c on p.polrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (
    select
      max(a.text) filter (where x.part = 1) as visible,
      max(a.text) filter (where x.part = 2) as allowed,
      max(b.bare) filter (where x.part = 1) as bare_visible,
      max(b.bare) filter (where x.part = 2) as bare_allowed,
      max(a.swapped) filter (where x.part = 1) as swapped_visible,
      max(a.swapped) filter (where x.part = 2) as swapped_allowed
    from (
      values (1, pg_get_expr(p.polqual, p.polrelid)), (2, pg_get_expr(p.polwithcheck, p.polrelid))
    ) as x (part, text)
    cross join lateral (
      select regexp_replace(x.text, '(\( SELECT [\w.]+\(\)) AS "?\w+"?\)', '\1)', 'g') as bare
    ) as b
    cross join lateral (select regexp_match(b.bare, '^\(([^=<>''"|]+) = ([^=<>''"|]+)\)$') as sides) as s
    cross join lateral (
      select
        case
          when s.sides is null or b.bare ~ '\m(AND|OR|NOT|ANY|ALL|CASE)\M' then b.bare
          else format('(%s = %s)', least(s.sides[1] collate "C", s.sides[2]), greatest(s.sides[1] collate "C", s.sides[2]))
        end as text,
        format('(%s = %s)', greatest(s.sides[1] collate "C", s.sides[2]), least(s.sides[1] collate "C", s.sides[2])) as swapped
    ) as a
  ) as e
  where format('%I.%I', n.nspname, c.relname) = any($1)
),

-- Permissive policies that allow no more than another one for the same roles and commands: with the same condition, or with
-- an AND of which the condition of the other is a whole operand.
included as (
  select
    p.object,
    p.polname
  from policy as p
  inner join policy as o on p.object = o.object and p.polname <> o.polname
  where o.polpermissive
    and o.polcmd in (p.polcmd, '*')
    and (o.polroles @> p.polroles or 0 = any(o.polroles))
    -- of two with the same condition, one is not included
    and (row(p.bare_visible, p.bare_allowed) is distinct from row(o.bare_visible, o.bare_allowed) or o.polname < p.polname)
    and not exists (
      select
      from (
        values (p.bare_visible, o.visible, o.swapped_visible), (p.bare_allowed, o.allowed, o.swapped_allowed)
      ) as c (text, whole, swapped)
      cross join lateral (
        select case when position(c.whole in c.text) > 0 then c.whole else c.swapped end as operand
      ) as w
      cross join lateral (
        select
          left(c.text, position(w.operand in c.text) - 1) as before,
          substr(c.text, position(w.operand in c.text) + length(w.operand)) as after
      ) as r
      cross join lateral (select regexp_replace(r.before, '''(?:[^'']|'''')*''|[^()]', '', 'g') as parens) as n
      where c.text is not null
        and not coalesce(
          c.text = w.operand
          or position(w.operand in c.text) > 0
          and (r.before = '(' or r.before like '% AND ')
          and (r.after = ')' or r.after like ' AND %')
          and length(replace(n.parens, ')', '')) - length(replace(n.parens, '(', '')) = 1,
          false
        )
    )
),

effect as (
  select
    p.object,
    format('%s %s %s', case r.oid when 0 then 'public' else quote_ident(pg_get_userbyid(r.oid)) end, w.command, w.part)
      as name,
    string_agg(distinct w.condition, ' or ' order by w.condition) filter (where p.polpermissive) as permissive,
    string_agg(distinct w.condition, ' and ' order by w.condition) filter (where not p.polpermissive) as restrictive,
    bool_or(r.oid = 0 or a.rolbypassrls or a.rolsuper) as bypasses
  from policy as p
  cross join unnest(p.polroles) as r (oid)
  left join pg_roles as a on r.oid = a.oid
  cross join lateral (
    values
    ('select', 'using', '{r,*}'::"char"[], p.visible),
    ('insert', 'check', '{a,*}', p.allowed),
    ('update', 'using', '{w,*}', p.visible),
    ('update', 'check', '{w,*}', p.allowed),
    ('delete', 'using', '{d,*}', p.visible)
  ) as w (command, part, commands, condition)
  where p.polcmd = any(w.commands)
  group by p.object, r.oid, w.command, w.part
)

select
  p.object,
  'policy' as kind,
  p.polname as name,
  concat_ws(' ', s.spec, 'using (' || p.visible || ')', 'with check (' || p.allowed || ')') as value,
  concat_ws(' ', format('create policy %I on %s as %s', p.polname, p.object, s.spec),
    'using (' || p.written_visible || ')', 'with check (' || p.written_allowed || ')') || ';' as create_sql,
  format('drop policy %I on %s;', p.polname, p.object) as drop_sql,
  -- a warning if it is restrictive (which shows if it depends on the claims alone), if no request can act as its roles, or if another one allows as much
  case
    when
      p.polpermissive
      and exists (
        select 1 from unnest(p.polroles) as r (oid)
        where r.oid = 0
          or pg_has_role(to_regrole('authenticator')::oid, r.oid, 'member')
          or pg_get_userbyid(r.oid) in ('anon', 'authenticated', 'service_role', 'authenticator')
      )
      and not exists (
        select 1 from included as i
        where i.object = p.object and i.polname = p.polname
      )
      then 'error'
    when not p.polpermissive and p.of_claims then 'untried'
    else 'warning'
  end as unexpected_severity,
  'error' as deviation_severity
from policy as p
cross join lateral (
  select concat_ws(
    ' ',
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    'for',
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    'to',
    p.roles
  ) as spec
) as s
union all
select
  f.object,
  'effect of policies',
  f.name,
  concat_ws(' and ', '(' || coalesce(f.permissive, 'false') || ')', f.restrictive),
  '',
  '',
  null,
  -- a probe cannot show the effect of a policy on a role that bypasses row level security
  case when f.bypasses then 'error' else 'warning' end
from effect as f
