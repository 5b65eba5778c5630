-- Buckets of Storage. The platform refuses to delete a bucket in SQL unless a setting allows it.
select
  b.id as object,
  'bucket' as kind,
  '' as name,
  '[]'::jsonb as parents,
  format('%s%s%s', case when b.public then 'public' else 'private' end,
    coalesce(', at most ' || b.file_size_limit || ' bytes a file', ''),
    coalesce(', ' || array_to_string(b.allowed_mime_types, ' '), '')) as value,
  format('insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values (%L, %L, %L, %L, %L)',
    b.id, b.name, coalesce(b.public, false), b.file_size_limit, b.allowed_mime_types)
  || ' on conflict (id) do update set public = excluded.public, file_size_limit = excluded.file_size_limit,'
  || ' allowed_mime_types = excluded.allowed_mime_types;' as create_sql,
  format(E'set storage.allow_delete_query = ''true'';\ndelete from storage.buckets where id = %L;\nreset storage.allow_delete_query;',
    b.id) as drop_sql,
  format('insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values (%L, %L, %L, %L, %L)',
    b.id, b.name, coalesce(b.public, false), b.file_size_limit, b.allowed_mime_types)
  || ' on conflict (id) do update set public = excluded.public, file_size_limit = excluded.file_size_limit,'
  || ' allowed_mime_types = excluded.allowed_mime_types;' as replace_sql
from storage.buckets as b
