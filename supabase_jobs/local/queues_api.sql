-- Stands in for the schema that the dashboard creates to expose queues: the functions of pgmq for requests.

create schema if not exists pgmq_public;
grant usage on schema pgmq_public to postgres, anon, authenticated, service_role;

create or replace function pgmq_public.pop(queue_name text) returns setof pgmq.message_record
language plpgsql set search_path = ''
as $$ begin return query select * from pgmq.pop(queue_name := queue_name); end $$;

create or replace function pgmq_public.send(queue_name text, message jsonb, sleep_seconds integer default 0)
returns setof bigint
language plpgsql set search_path = ''
as $$
begin
  return query select * from pgmq.send(queue_name := queue_name, msg := message, delay := sleep_seconds);
end
$$;

create or replace function pgmq_public.send_batch(queue_name text, messages jsonb [], sleep_seconds integer default 0)
returns setof bigint
language plpgsql set search_path = ''
as $$
begin
  return query select * from pgmq.send_batch(queue_name := queue_name, msgs := messages, delay := sleep_seconds);
end
$$;

create or replace function pgmq_public.archive(queue_name text, message_id bigint) returns boolean
language plpgsql set search_path = ''
as $$ begin return pgmq.archive(queue_name := queue_name, msg_id := message_id); end $$;

create or replace function pgmq_public.delete(queue_name text, message_id bigint) returns boolean
language plpgsql set search_path = ''
as $$ begin return pgmq.delete(queue_name := queue_name, msg_id := message_id); end $$;

create or replace function pgmq_public.read(queue_name text, sleep_seconds integer, n integer)
returns setof pgmq.message_record
language plpgsql set search_path = ''
as $$
begin
  return query select * from pgmq.read(queue_name := queue_name, vt := sleep_seconds, qty := n);
end
$$;

alter schema pgmq_public owner to postgres;
alter function pgmq_public.pop(text) owner to postgres;
alter function pgmq_public.send(text, jsonb, integer) owner to postgres;
alter function pgmq_public.send_batch(text, jsonb [], integer) owner to postgres;
alter function pgmq_public.archive(text, bigint) owner to postgres;
alter function pgmq_public.delete(text, bigint) owner to postgres;
alter function pgmq_public.read(text, integer, integer) owner to postgres;

-- requests reach a queue as far as its table and policies let them
grant usage on schema pgmq to anon, authenticated, service_role;
grant execute on all functions in schema pgmq_public to service_role;
