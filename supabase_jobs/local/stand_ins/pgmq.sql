-- Stands in for the extension pgmq: a queue is a table, and a message that was read is invisible for a time.

create schema if not exists pgmq;
create table if not exists pgmq.meta (
  queue_name text not null unique,
  is_partitioned boolean not null,
  is_unlogged boolean not null,
  created_at timestamptz not null default now()
);

do $$
begin
  if to_regtype('pgmq.message_record') is null then
    create type pgmq.message_record as (
      msg_id bigint, read_ct integer, enqueued_at timestamptz, vt timestamptz, message jsonb, headers jsonb
    );
    create type pgmq.queue_record as (
      queue_name character varying, is_partitioned boolean, is_unlogged boolean, created_at timestamptz
    );
  end if;
end;
$$;

create or replace function pgmq.create_non_partitioned(queue_name text) returns void
language plpgsql
as $$
begin
  if exists (select from pgmq.meta as m where m.queue_name = create_non_partitioned.queue_name) then
    return;
  end if;
  execute format(
    'create table pgmq.%I (msg_id bigint primary key generated always as identity,'
    ' read_ct integer not null default 0, enqueued_at timestamptz not null default now(),'
    ' vt timestamptz not null, message jsonb, headers jsonb)', 'q_' || queue_name
  );
  execute format(
    'create table pgmq.%I (msg_id bigint primary key, read_ct integer not null default 0,'
    ' enqueued_at timestamptz not null default now(), archived_at timestamptz not null default now(),'
    ' vt timestamptz not null, message jsonb, headers jsonb)', 'a_' || queue_name
  );
  insert into pgmq.meta (queue_name, is_partitioned, is_unlogged) values (queue_name, false, false);
end;
$$;
create or replace function pgmq.create(queue_name text) returns void
language sql
as 'select pgmq.create_non_partitioned(queue_name)';
create or replace function pgmq.create_unlogged(queue_name text) returns void
language sql
as 'select pgmq.create_non_partitioned(queue_name)';
create or replace function pgmq.send(queue_name text, msg jsonb, delay integer default 0) returns setof bigint
language plpgsql
as $$
begin
  return query execute format(
    'insert into pgmq.%I (vt, message) values (clock_timestamp() + make_interval(secs => $2), $1) returning msg_id',
    'q_' || queue_name
  ) using msg, delay;
end;
$$;
create or replace function pgmq.send_batch(queue_name text, msgs jsonb [], delay integer default 0)
returns setof bigint
language plpgsql
as $$
begin
  return query execute format(
    'insert into pgmq.%I (vt, message) select clock_timestamp() + make_interval(secs => $2), unnest($1)'
    ' returning msg_id', 'q_' || queue_name
  ) using msgs, delay;
end;
$$;
create or replace function pgmq.read(queue_name text, vt integer, qty integer, conditional jsonb default '{}')
returns setof pgmq.message_record
language plpgsql
as $$
begin
  return query execute format(
    'update pgmq.%1$I as q set vt = clock_timestamp() + make_interval(secs => $1), read_ct = read_ct + 1'
    ' where q.msg_id in (select msg_id from pgmq.%1$I where vt <= clock_timestamp() order by msg_id limit $2)'
    ' returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message, q.headers', 'q_' || queue_name
  ) using vt, qty;
end;
$$;
create or replace function pgmq.pop(queue_name text) returns setof pgmq.message_record
language plpgsql
as $$
begin
  return query execute format(
    'delete from pgmq.%1$I as q where q.msg_id in'
    ' (select msg_id from pgmq.%1$I where vt <= clock_timestamp() order by msg_id limit 1)'
    ' returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message, q.headers', 'q_' || queue_name
  );
end;
$$;
create or replace function pgmq.delete(queue_name text, msg_id bigint) returns boolean
language plpgsql
as $$
declare
  deleted bigint;
begin
  execute format('delete from pgmq.%I where msg_id = $1 returning msg_id', 'q_' || queue_name)
  into deleted using msg_id;
  return deleted is not null;
end;
$$;
create or replace function pgmq.archive(queue_name text, msg_id bigint) returns boolean
language plpgsql
as $$
declare
  archived bigint;
begin
  execute format(
    'with gone as (delete from pgmq.%I where msg_id = $1 returning *)'
    ' insert into pgmq.%I (msg_id, read_ct, enqueued_at, vt, message, headers)'
    ' select msg_id, read_ct, enqueued_at, vt, message, headers from gone returning msg_id',
    'q_' || queue_name, 'a_' || queue_name
  ) into archived using msg_id;
  return archived is not null;
end;
$$;
create or replace function pgmq.set_vt(queue_name text, msg_id bigint, vt integer) returns setof pgmq.message_record
language plpgsql
as $$
begin
  return query execute format(
    'update pgmq.%I as q set vt = clock_timestamp() + make_interval(secs => $2) where q.msg_id = $1'
    ' returning q.msg_id, q.read_ct, q.enqueued_at, q.vt, q.message, q.headers', 'q_' || queue_name
  ) using msg_id, vt;
end;
$$;
create or replace function pgmq.purge_queue(queue_name text) returns bigint
language plpgsql
as $$
declare
  purged bigint;
begin
  execute format('with gone as (delete from pgmq.%I returning 1) select count(*) from gone', 'q_' || queue_name)
  into purged;
  return purged;
end;
$$;
create or replace function pgmq.drop_queue(queue_name text) returns boolean
language plpgsql
as $$
begin
  execute format('drop table if exists pgmq.%I', 'q_' || queue_name);
  execute format('drop table if exists pgmq.%I', 'a_' || queue_name);
  delete from pgmq.meta as m where m.queue_name = drop_queue.queue_name;
  return found;
end;
$$;
create or replace function pgmq.list_queues() returns setof pgmq.queue_record
language sql stable
as 'select queue_name, is_partitioned, is_unlogged, created_at from pgmq.meta';

-- A hosted project gives postgres what the extension has, so that migrations can grant it to the API roles.
alter schema pgmq owner to postgres;
alter table pgmq.meta owner to postgres;
alter type pgmq.message_record owner to postgres;
alter type pgmq.queue_record owner to postgres;
do $$
declare
  given regprocedure;
begin
  for given in select p.oid from pg_proc as p where p.pronamespace = to_regnamespace('pgmq') loop
    execute format('alter function %s owner to postgres', given);
  end loop;
end;
$$;
