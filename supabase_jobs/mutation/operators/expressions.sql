-- Expressions of policies, CHECK constraints and index predicates: AND for OR, a part left out, a comparison turned, a
-- bound or a list changed. By pattern, outside strings, in what pg_get_expr gives: it has each part in parentheses.
with expression as (
  select
    format('%I.%I', n.nspname, c.relname) as object,
    x.kind,
    x.name,
    x.text,
    x.head,
    x.tail
  from pg_class as c
  inner join pg_namespace as n on c.relnamespace = n.oid
  cross join lateral (
    select
      v.kind,
      p.polname as name,
      v.text,
      format('alter policy %I on %I.%I %s ', p.polname, n.nspname, c.relname, v.clause) as head,
      '' as tail
    from pg_policy as p
    cross join lateral (
      values
      ('using', 'using', pg_get_expr(p.polqual, p.polrelid)),
      ('check', 'with check', pg_get_expr(p.polwithcheck, p.polrelid))
    ) as v (kind, clause, text)
    where p.polrelid = c.oid
    union all
    select
      'constraint',
      k.conname,
      pg_get_expr(k.conbin, k.conrelid),
      format('alter table %I.%I drop constraint %I, add constraint %I check ', n.nspname, c.relname, k.conname, k.conname),
      ''
    from pg_constraint as k
    where k.conrelid = c.oid and k.contype = 'c'
    union all
    select
      'index',
      i.relname,
      d.predicate,
      format('drop index %I.%I; ', n.nspname, i.relname) || split_part(d.whole, ' WHERE ' || d.predicate, 1) || ' where ',
      split_part(d.whole, ' WHERE ' || d.predicate, 2)
    from pg_index as x
    inner join pg_class as i on x.indexrelid = i.oid
    cross join lateral (
      select
        pg_get_indexdef(x.indexrelid) as whole,
        pg_get_expr(x.indpred, x.indrelid) as predicate
    ) as d
    where x.indrelid = c.oid
  ) as x
  where x.text is not null
),

operator as (
  select
    o.name,
    o.description,
    o.replacement,
    '(?<=^([^'']|''[^'']*'')*)' || o.pattern as pattern
  from (
    values
    ('and-or', 'AND is OR', ' AND ', ' OR '),
    ('or-and', 'OR is AND', ' OR ', ' AND '),
    ('before-and', 'the condition before AND is left out', '\) AND ', ' OR true) AND '),
    ('after-and', 'the condition after AND is left out', ' AND \((?! ?SELECT)', ' AND (true OR '),
    ('before-or', 'the condition before OR is left out', '\) OR ', ' AND false) OR '),
    ('after-or', 'the condition after OR is left out', ' OR \((?! ?SELECT)', ' OR (false AND '),
    ('not', 'NOT is left out', '\(NOT ', '('),
    ('null', 'IS NULL is IS NOT NULL', ' IS NULL', ' IS NOT NULL'),
    ('not-null', 'IS NOT NULL is IS NULL', ' IS NOT NULL', ' IS NULL'),
    ('equal', '= is <>', ' = (?!ANY)', ' <> '),
    ('unequal', '<> is =', ' <> (?!ALL)', ' = '),
    ('less', '< is <=', ' < ', ' <= '),
    ('less-or-equal', '<= is <', ' <= ', ' < '),
    ('greater', '> is >=', ' > ', ' >= '),
    ('greater-or-equal', '>= is >', ' >= ', ' > '),
    ('more', 'a number is one more', '(?<![\w.:''])(\d+)(?![\w.''])', '(\2 + 1)'),
    ('list', 'a value of a list is left out',
      '((?<=\[)''[^'']*''::\w+( \w+)*, |, ''[^'']*''::\w+( \w+)*(?=[,\]]))', '')
  ) as o (name, description, pattern, replacement)
)

select
  format('%s-%s:%s:%s:%s', o.name, i.number, e.object, e.kind, e.name) as id,
  e.object,
  format('%s "%s": %s, in %s', e.kind, e.name, o.description, e.text) as description,
  e.head || '(' || regexp_replace(e.text, o.pattern, o.replacement, 1, i.number) || ')' || e.tail || ';' as sql
from expression as e
cross join operator as o
cross join lateral generate_series(1, regexp_count(e.text, o.pattern)) as i (number)
where e.object = any($1)
  -- of a single condition, that is the negated one of other files
  and not (o.name in ('not', 'null', 'not-null', 'equal', 'unequal') and e.text !~ ' (AND|OR) ')
