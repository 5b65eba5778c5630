-- The planner uses an index wherever it can, as it does for a large table.
select
  set_config('search_path', '', true),
  set_config('enable_indexscan', 'on', true),
  set_config('enable_indexonlyscan', 'on', true),
  set_config('enable_bitmapscan', 'on', true),
  set_config('enable_seqscan', 'off', true)
