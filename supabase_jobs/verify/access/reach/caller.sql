-- $1 settings
-- Keeps who the caller is: its roles, and these settings.
select
where set_config(
    'verify.caller',
    (
      select concat_ws(' ', current_user, session_user, string_agg(current_setting(s.name, true), ' ' order by s.name))
      from unnest($1::text []) as s (name)
    ),
    true
  ) is null
