"""The settings with which audit, verify and their scripts begin a transaction."""

# The timeouts keep a probe from waiting long for another session's lock; shorter ones of the user
# stay. `jit` is off because compiling a catalog query takes ten times as long as running it. The
# last five override settings of the database or role that change how definitions are written and
# read, or that turn rows hidden by row level security into errors.
SETTINGS = """select
  set_config('search_path', '', true),
  set_config('statement_timeout', (1000 * extract(epoch from
    least(nullif(current_setting('statement_timeout'), '0')::interval, '10s')))::int::text, true),
  set_config('lock_timeout', (1000 * extract(epoch from
    least(nullif(current_setting('lock_timeout'), '0')::interval, '2s')))::int::text, true),
  set_config('jit', 'off', true),
  set_config('quote_all_identifiers', 'off', true),
  set_config('standard_conforming_strings', 'on', true),
  set_config('intervalstyle', 'postgres', true),
  set_config('extra_float_digits', '1', true),
  set_config('row_security', 'on', true)"""
