-- The statement in a setting, of which nothing remains if it fails.
do $$
begin
  execute current_setting('verify.statement');
exception when query_canceled or others then
  null;
end
$$
