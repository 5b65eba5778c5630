-- Columns: default, NOT NULL, type or collation changed, column dropped.
select
  array[v.operator, a.object, a.attname] as id,
  a.object,
  format('column "%s": %s', a.attname, v.description) as description,
  v.sql
from (
  select
    t.*,
    pg_get_expr(d.adbin, d.adrelid) as initial,
    format_type(t.atttypid, t.atttypmod) as type,
    format('%I.%I', n.nspname, c.relname) as object,
    format('alter table %I.%I ', n.nspname, c.relname) as alter,
    -- a type that accepts the same values
    case t.atttypid
      when 'smallint'::regtype then 'integer'
      when 'integer'::regtype then 'bigint'
      when 'bigint'::regtype then 'numeric'
      when 'numeric'::regtype then 'double precision'
      when 'text'::regtype then 'character varying'
      when 'character varying'::regtype then 'text'
      when 'jsonb'::regtype then 'json'
      when 'timestamptz'::regtype then 'timestamp'
      when 'uuid'::regtype then 'text'
    end as other,
    -- the type of a column that a policy, view, trigger or foreign key uses cannot change, nor that of a JSON column
    -- whose constraint calls a function
    exists (
      select 1 from pg_depend as h
      where h.refclassid = 'pg_class'::regclass and h.refobjid = c.oid and h.refobjsubid = t.attnum
        and h.classid in ('pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_trigger'::regclass)
    ) or exists (
      select 1 from pg_constraint as k
      where k.contype = 'f'
        and ((k.conrelid = c.oid and t.attnum = any(k.conkey)) or (k.confrelid = c.oid and t.attnum = any(k.confkey)))
    ) or exists (
      select 1 from pg_constraint as k
      inner join pg_depend as h on k.oid = h.objid and h.classid = 'pg_constraint'::regclass
      where k.contype = 'c' and k.conrelid = c.oid and t.attnum = any(k.conkey)
        and h.refclassid = 'pg_proc'::regclass and t.atttypid = 'jsonb'::regtype
    ) or t.attgenerated <> '' or t.attidentity <> '' as bound
  from pg_attribute as t
  inner join pg_class as c on t.attrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  left join pg_attrdef as d on t.attrelid = d.adrelid and t.attnum = d.adnum
  where c.relkind in ('r', 'p')
    and t.attnum > 0
    and not t.attisdropped
) as a
cross join lateral (
  values
  ('default-dropped', 'default dropped',
    case when a.initial is not null then a.alter || format('alter %I drop default;', a.attname) end),
  ('default-changed', 'default replaced by null',
    case when a.initial is not null
      then a.alter || format('alter %I set default case when false then %s end;', a.attname, a.initial) end),
  ('default-added', 'default null added',
    case when a.initial is null
      then a.alter || format('alter %I set default case when false then null::%s end;', a.attname, a.type) end),
  ('nullable', 'NOT NULL dropped',
    case when a.attnotnull
      and not exists (
        select 1 from pg_index as x
        where x.indrelid = a.attrelid and x.indisprimary and a.attnum = any(x.indkey)
      )
      then a.alter || format('alter %I drop not null;', a.attname) end),
  ('not-null', 'NOT NULL added',
    case when not a.attnotnull then a.alter || format('alter %I set not null;', a.attname) end),
  ('not-null-not-valid', 'NOT NULL not validated for existing rows',
    case when a.attnotnull and current_setting('server_version_num')::integer >= 180000
      and not exists (
        select 1 from pg_index as x
        where x.indrelid = a.attrelid and x.indisprimary and a.attnum = any(x.indkey)
      )
      then a.alter || format('alter %I drop not null;', a.attname)
        || a.alter || format('add constraint mutant not null %I not valid;', a.attname) end),
  ('type', 'type changed to ' || a.other,
    case when a.other is not null and not a.bound then a.alter || format('alter %I type %s;', a.attname, a.other) end),
  ('collation', 'collation changed',
    case when a.attcollation <> 0 and not a.bound
      then a.alter || format('alter %I type %s collate %s;', a.attname, a.type,
        case a.attcollation when 'pg_catalog."C"'::regcollation then 'pg_catalog."POSIX"' else 'pg_catalog."C"' end) end),
  ('drop', 'dropped with CASCADE', a.alter || format('drop %I cascade;', a.attname))
) as v (operator, description, sql)
where a.object = any($1)
  and v.sql is not null
