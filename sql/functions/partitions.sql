-- Attaches the partition of tocsin.events that holds the given month (UTC), unless it is there already.
--
-- CREATE TABLE and ATTACH rather than CREATE TABLE ... PARTITION OF: the latter wants an exclusive lock on the log
-- and queues every writer behind any open one. Row triggers and the xid index come with ATTACH; what does not are
-- the statement triggers that refuse writing to the partition directly (such a row would be stamped, but neither
-- projected nor rung) and the unique index, the net under tocsin.stamp.
create or replace function tocsin.attach_partition(month timestamp) returns boolean language plpgsql as $$
declare
    first     timestamp := date_trunc('month', month);
    partition text := 'events_' || to_char(first, 'YYYY_MM');
begin
    if to_regclass('tocsin.' || partition) is not null then
        return false;
    end if;
    -- Of several nodes that look after the partitions at once, one creates it. (The key is 'tocp' in ASCII. We look
    -- into the table this time, since what to_regclass goes by may be older than the lock.)
    perform pg_advisory_xact_lock(1953456496);
    if exists (select from pg_class where relnamespace = 'tocsin'::regnamespace and relname = partition) then
        return false;
    end if;
    execute format('create table tocsin.%I (like tocsin.events including defaults including constraints)', partition);
    execute format('create unique index %I on tocsin.%I (stream, seq)', partition || '_stream_seq', partition);
    execute format(
        'create trigger events_guard before insert or update or delete or truncate on tocsin.%I
         for each statement execute function tocsin.refuse_change()', partition);
    execute format(
        'alter table tocsin.events attach partition tocsin.%I for values from (%L) to (%L)', partition,
        first::text || '+00', (first + interval '1 month')::text || '+00');
    return true;
end
$$;

-- Attaches the partitions from last month (a clock may step back) to `ahead` months from now; answers how many are new.
create or replace function tocsin.attach_partitions(ahead integer) returns bigint language sql as $$
    select count(*) filter (where tocsin.attach_partition(month))
    from generate_series(
        date_trunc('month', now() at time zone 'UTC') - interval '1 month',
        date_trunc('month', now() at time zone 'UTC') + make_interval(months => ahead),
        interval '1 month') as month
$$;
