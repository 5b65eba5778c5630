create policy "people list their own photos" on storage.objects
  for select to authenticated
  using (
    bucket_id = 'photos' and (storage.foldername(name))[1] = (select auth.uid())::text
    and storage.allow_any_operation(array['object.list', 'object.get_authenticated'])
  );
create policy "people upload their own photos" on storage.objects
  for insert to authenticated
  with check (bucket_id = 'photos' and (storage.foldername(name))[1] = (select auth.uid())::text);
create policy "people fetch their own covers" on storage.objects
  for select to authenticated
  using (
    bucket_id = 'covers' and (storage.foldername(name))[1] = (select auth.uid())::text
    and storage.operation() = 'storage.object.get_authenticated'
  );

create policy "people hear of their own articles" on realtime.messages
  for select to authenticated using ((select realtime.topic()) = 'articles:' || (select auth.uid())::text);

create schema private;
create function private.announce_article() returns trigger
language plpgsql security definer set search_path = ''
as $$
begin
  perform realtime.broadcast_changes(
    'articles:' || new.author_id::text, tg_op, tg_op, tg_table_name, tg_table_schema, new, old
  );
  perform realtime.send(jsonb_build_object('id', new.id), 'saved', 'articles:' || new.author_id::text, true);
  perform net.http_post(url := 'https://example.com/articles', body := jsonb_build_object('id', new.id));
  perform pgmq.send('indexing', jsonb_build_object('id', new.id));
  return new;
end;
$$;
create trigger announce_article after insert or update on public.articles
  for each row execute function private.announce_article();
create trigger tell_the_webhook after insert on public.articles
  for each row execute function supabase_functions.http_request(
    'https://example.com/hook', 'POST', '{}', '{}', '1000'
  );

select pgmq.create('indexing');
alter table pgmq.q_indexing enable row level security;
create schema if not exists pgmq_public;
grant usage on schema pgmq_public, pgmq to service_role;
grant all on all tables in schema pgmq to service_role;
create or replace function pgmq_public.read(queue_name text, sleep_seconds integer, n integer)
returns setof pgmq.message_record
language sql set search_path = ''
as 'select * from pgmq.read(queue_name => queue_name, vt => sleep_seconds, qty => n)';
revoke execute on all functions in schema pgmq_public from public, anon, authenticated;
grant execute on function pgmq_public.read(text, integer, integer) to service_role;

select vault.create_secret('not a secret', 'search_key');
create function private.search_key() returns text
language sql stable security definer set search_path = ''
as $$ select decrypted_secret from vault.decrypted_secrets where name = 'search_key' $$;
revoke execute on function private.search_key() from public, anon, authenticated;

select cron.schedule('forget drafts', '0 3 * * *', $$delete from public.articles where not published$$);
