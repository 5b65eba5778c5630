insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true), ('documents', 'documents', false)
on conflict (id) do nothing;

create policy "Avatars are public" on storage.objects for select using (bucket_id = 'avatars');
create policy "Upload own avatar" on storage.objects for insert to authenticated
  with check (bucket_id = 'avatars' and (storage.foldername(name))[1] = auth.uid()::text);
create policy "Replace own avatar" on storage.objects for update to authenticated
  using (bucket_id = 'avatars' and (storage.foldername(name))[1] = auth.uid()::text)
  with check (bucket_id = 'avatars' and (storage.foldername(name))[1] = auth.uid()::text);

create policy "Documents: read own folder" on storage.objects for select to authenticated
  using (bucket_id = 'documents' and (storage.foldername(name))[1] = auth.uid()::text);
create policy "Documents: read shared" on storage.objects for select to authenticated
  using (bucket_id = 'documents' and exists (select 1 from public.files f where f.object_name = objects.name));
create policy "Documents: upload to own folder" on storage.objects for insert to authenticated
  with check (bucket_id = 'documents' and (storage.foldername(name))[1] = auth.uid()::text);
create policy "Documents: delete own" on storage.objects for delete to authenticated
  using (bucket_id = 'documents' and (storage.foldername(name))[1] = auth.uid()::text);
