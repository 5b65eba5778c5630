-- A statement whose plan is empty if a condition ($3) on a table ($1, alias $2) implies a predicate ($4). The planner
-- ignores conditions with stable functions such as auth.uid() in this proof. Inside a sub-select their value is a
-- constant.
select
  format(
    'select from %s as %I where (%s) and not (%s)',
    $1::text,
    $2::text,
    regexp_replace($3::text, '\mcurrent_setting\(''[^'']*''::text(, (true|false))?\)|\m[\w.]+\(\)', '(select \&)', 'g'),
    $4::text
  ) as statement
