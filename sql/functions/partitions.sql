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

-- For how many months after this one partitions are attached, without a gap; -1: not even for this one, and nothing can
-- be written.
create or replace function tocsin.partitions_left() returns integer language sql stable as $$
    select coalesce(min(n), 121) - 1
    from generate_series(0, 120) as n
    where not exists (
        select from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'tocsin.events'::regclass and not i.inhdetachpending
          and c.relname = 'events_' || to_char(date_trunc('month', now() at time zone 'UTC')
                                               + make_interval(months => n), 'YYYY_MM'))
$$;

-- The month that a partition holds, by its name; null for any other table.
create or replace function tocsin.partition_month(name name) returns timestamp language sql immutable as $$
    select to_date(substring(name::text from '^events_([0-9]{4}_[0-9]{2})$'), 'YYYY_MM')::timestamp
$$;

-- Seals the oldest partition that is not sealed yet and ended more than a day ago, if there is one: whoever comes now
-- with a transaction that old is refused. So what is in it is known for good:
--
-- * Who wants the events of a stream after a moment need not look into partitions that have none so late
--   (`sealed.newest`), however many there are.
-- * Whoever sees the seal sees all that was ever written there: its writers had ended before, since the lock waits for
--   them. So a tail that has seen it looks there no more.
create or replace function tocsin.seal_partition() returns boolean language plpgsql set lock_timeout = '5s' as $$
declare
    oldest  text;
    ends_at timestamptz;
    latest  timestamptz;
begin
    perform pg_advisory_xact_lock(1953456496);
    select c.relname, ends into oldest, ends_at
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    cross join lateral (values ((tocsin.partition_month(c.relname) + interval '1 month') at time zone 'UTC')) as it (ends)
    where i.inhparent = 'tocsin.events'::regclass and not i.inhdetachpending
      and ends < now() - interval '1 day' and not exists (select from tocsin.sealed s where s.partition = c.relname)
    order by ends limit 1;
    if not found then
        return false;
    end if;
    -- Only writers whose transactions are that old wait for it, if there are any. (It outlasts an autovacuum, which
    -- gives way after a second.)
    execute format('create trigger events_sealed before insert on tocsin.%I
                    for each row execute function tocsin.refuse_too_late()', oldest);
    execute format('select max(edited_at) from tocsin.%I', oldest) into latest;
    insert into tocsin.sealed (partition, upto, newest)
    select oldest, ends_at, greatest(latest, max(s.newest), '-infinity') from tocsin.sealed s where s.upto < ends_at;
    -- (One that was attached late may come before others that are sealed already.)
    update tocsin.sealed s set newest = latest where s.upto > ends_at and s.newest < latest;
    return true;
end
$$;

create or replace function tocsin.refuse_too_late() returns trigger language plpgsql as $$
begin
    raise exception 'a transaction that began at % cannot write into the log any more: that month is over', now()
        using errcode = 'serialization_failure', hint = 'Begin a new transaction.';
end
$$;

-- Retention: what src/maintenance/retention.rs calls step by step, since a partition is detached without keeping writers
-- waiting only outside of a transaction.

-- The partitions whose newest possible event is older than `keep`, oldest first; one that was detached and not dropped
-- yet is still one of them. Those of this month and the last one stay in any case: they would be attached again.
create or replace function tocsin.partitions_past(keep interval)
returns table (partition text, attached boolean) language sql stable as $$
    select c.relname::text, i.inhrelid is not null
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = 'tocsin.events'::regclass
    cross join lateral (values (tocsin.partition_month(c.relname))) as month (first)
    where c.relnamespace = 'tocsin'::regnamespace and c.relkind = 'r'
      and first < date_trunc('month', now() at time zone 'UTC') - interval '1 month'
      and (first + interval '1 month') at time zone 'UTC' <= now() - keep
    order by c.relname
$$;

-- The partition whose detaching was interrupted: no other one is detached before that is finished.
create or replace function tocsin.partition_pending() returns text language sql stable as $$
    select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'tocsin.events'::regclass and i.inhdetachpending
$$;

-- Everything in a partition counts as gone from now on: raises the base of the streams that have events there, of the
-- first `most` after `since`. Answers the last one it came to, null when there are no more, and those it left alone
-- because somebody holds their rows: a batch waits for nobody, since others would wait for it.
create or replace function tocsin.raise_bases(
    partition text, since text, most integer, out upto text, out held text[])
language plpgsql set enable_seqscan = off as $$
begin
    execute format($batch$
        with recursive streams (stream, n) as (
            (select stream, 1 from tocsin.%1$I where stream > $1 order by stream limit 1)
            union all
            select (select e.stream from tocsin.%1$I e where e.stream > s.stream order by e.stream limit 1), n + 1
            from streams s where s.stream is not null and n < $2
        ),
        leaving as materialized (
            select s.stream, e.seq, e.edited_at
            from streams s
            cross join lateral (select seq, edited_at from tocsin.%1$I e where e.stream = s.stream
                                order by seq desc limit 1) e
        ),
        locked as materialized (
            select s.stream, l.seq, l.edited_at from leaving l join tocsin.streams s on s.stream = l.stream
            where s.base_seq < l.seq order by s.stream for no key update of s skip locked
        ),
        raised as (
            update tocsin.streams s set base_seq = l.seq, base_at = l.edited_at
            from locked l where s.stream = l.stream
        )
        select (select max(stream) from leaving),
               array(select l.stream from leaving l join tocsin.streams s on s.stream = l.stream
                     where s.base_seq < l.seq and l.stream not in (select stream from locked))
    $batch$, partition) into upto, held using since, most;
end
$$;

-- The same for one stream, whose row is waited for.
create or replace function tocsin.raise_base(partition text, of_stream text) returns void language plpgsql as $$
begin
    execute format(
        'update tocsin.streams s set base_seq = e.seq, base_at = e.edited_at
         from (select seq, edited_at from tocsin.%I where stream = $1 order by seq desc limit 1) e
         where s.stream = $1 and s.base_seq < e.seq', partition) using of_stream;
end
$$;
