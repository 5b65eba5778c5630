-- Function bodies: the n-th condition replaced by true or false or negated, a comparison changed, a guard, lock or
-- statement removed. Patterns match outside comments and strings. A body that does not compile is not injected.
with function as (
  select
    p.prosrc,
    pg_get_functiondef(p.oid) as definition,
    format('%I.%I(%s)', n.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as object
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  where p.prokind = 'f'
    and p.prosrc <> ''
),

operator as (
  select
    o.name,
    o.description,
    o.replacement,
    '(?<=^([^''-]|-[^''-]|--[^\n]*\n|''[^'']*'')*)' || o.pattern as pattern
  from (
    values
    ('if-true', 'the guard is always true', '(?<!\yend )\mif\M.*?\mthen\M', 'if true then'),
    ('if-false', 'the guard is always false', '(?<!\yend )\mif\M.*?\mthen\M', 'if false then'),
    ('where-true', 'the condition is always true', '\mwhere\M', 'where true or'),
    ('where-false', 'the condition is never true', '\mwhere\M', 'where false and'),
    ('and-or', 'AND replaced by OR', '(?<!\mbetween [\w.\[\]]+ )\mand\M', 'or'),
    ('or-and', 'OR replaced by AND', '\mor\M', 'and'),
    ('null', 'IS NULL replaced by IS NOT NULL', '\mis null\M', 'is not null'),
    ('distinct', 'IS DISTINCT FROM replaced by IS NOT DISTINCT FROM', '\mis distinct from\M', 'is not distinct from'),
    ('not', 'NOT removed', '(?<!\mis )\mnot\M(?! null)', ''),
    ('equal', '= replaced by <>', '(?<=\m(where|and|or|on)\M\s+[\w.]+) = ', ' <> '),
    ('unequal', '<> replaced by =', '<>', '='),
    ('less', '< replaced by <=', '<(?![=>])', '<='),
    ('less-or-equal', '<= replaced by <', '<=', '<'),
    ('greater', '> replaced by >=', '(?<![-<=>])>(?![=>])', '>='),
    ('greater-or-equal', '>= replaced by >', '>=', '>'),
    ('raise', 'RAISE EXCEPTION replaced by RAISE DEBUG', '\mraise exception\M', 'raise debug'),
    ('limit', 'LIMIT removed', '\mlimit \w+', ''),
    ('lock', 'the row lock is removed', '\mfor update( of \w+)?( skip locked| nowait)?', ''),
    ('skip', 'SKIP LOCKED removed', '\mskip locked\M', ''),
    ('perform', 'a PERFORM statement is removed', '\mperform [^;]*;', 'null;'),
    ('assign', 'null is assigned', ':= [^;]*;', ':= null;')
  ) as o (name, description, pattern, replacement)
),

place as (
  select
    f.object,
    f.prosrc,
    f.definition,
    o.name,
    o.description,
    o.pattern,
    o.replacement,
    n.number
  from function as f
  cross join operator as o
  cross join lateral generate_series(1, regexp_count(f.prosrc, o.pattern, 1, 'i')) as n (number)
  where f.object = any($1)
)

select
  array[format('%s-%s', p.name, p.number), p.object] as id,
  p.object,
  -- cut between two words
  format('%s, in: %s', p.description, regexp_replace(
    regexp_replace(substr(p.prosrc, regexp_instr(p.prosrc, p.pattern, 1, p.number, 0, 'i')), '\s+', ' ', 'g'),
    '^(?=.{61})(.{1,60}) .*$', '\1 …'
  )) as description,
  replace(p.definition, p.prosrc, regexp_replace(p.prosrc, p.pattern, p.replacement, 1, p.number, 'i')) || ';' as sql
from place as p
