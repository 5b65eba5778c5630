create extension if not exists pg_trgm with schema extensions;
create extension if not exists pg_net;
create extension if not exists pg_cron;
create extension if not exists supabase_vault;
create extension if not exists pgmq;
