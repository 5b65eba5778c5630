-- $1 platform_schemas
-- Comments on the project's objects and their parts.
select
  o.object,
  case when o.part is null then 'comment' else 'comment of ' || o.part end as kind,
  coalesce(o.name, '') as name,
  case
    when o.part is null then '[]'::jsonb
    else jsonb_build_array(jsonb_build_array(o.object, o.part, o.name))
  end as parents,
  d.description as value,
  format('comment on %s is %L;', o.target, d.description) as create_sql,
  format('comment on %s is null;', o.target) as drop_sql,
  format('comment on %s is %L;', o.target, d.description) as replace_sql
from pg_description as d
cross join lateral pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
-- the table of a column or an index
left join pg_index as x on d.classoid = 'pg_class'::regclass and d.objoid = x.indexrelid
left join lateral (
  select format('%I.%I', n.nspname, c.relname) as object
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  where d.classoid = 'pg_class'::regclass and c.oid = coalesce(x.indrelid, d.objoid)
) as r on true
cross join lateral (
  select
    case
      when i.type in ('schema', 'extension') then i.identity
      when i.type like '% column' or i.type = 'index' then r.object
      when i.type in ('table constraint', 'trigger', 'policy', 'rule') then
        substring(i.identity from char_length(quote_ident(p.name)) + 5)
      else i.identity
    end as object,
    case
      when i.type like '% column' then 'column'
      when i.type = 'table constraint' then 'constraint'
      when i.type in ('trigger', 'policy', 'rule', 'index') then i.type
    end as part,
    p.name,
    case
      when i.type like '% column' then 'column ' || i.identity
      when i.type = 'table constraint' then 'constraint ' || i.identity
      else i.type || ' ' || i.identity
    end as target
  from (
    select
      case d.classoid
        when 'pg_class'::regclass then (
          case
            when d.objsubid > 0 then (
              select a.attname::text
              from pg_attribute as a
              where a.attrelid = d.objoid and a.attnum = d.objsubid
            )
            else (
              select c.relname::text
              from pg_class as c
              where c.oid = d.objoid and c.relkind in ('i', 'I')
            )
          end
        )
        when 'pg_constraint'::regclass then (select k.conname::text from pg_constraint as k
where k.oid = d.objoid)
        when 'pg_trigger'::regclass then (select t.tgname::text from pg_trigger as t
where t.oid = d.objoid)
        when 'pg_policy'::regclass then (select y.polname::text from pg_policy as y
where y.oid = d.objoid)
        when 'pg_rewrite'::regclass then (select r.rulename::text from pg_rewrite as r
where r.oid = d.objoid)
      end as name
  ) as p
) as o
where d.objoid >= 16384
  and d.classoid in (
    'pg_class'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass,
    'pg_proc'::regclass, 'pg_type'::regclass, 'pg_namespace'::regclass
  )
  and (
    split_part(o.object, '.', 1) <> all($1)
    or (i.type = 'policy' and split_part(o.object, '.', 1) in ('storage', 'realtime'))
  )
  and not exists (
    select from pg_depend as e
    where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e'
  )
