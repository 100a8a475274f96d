-- Gives an event its place: seq and edited_at, without gaps and in commit order, whatever the concurrency.
--
-- The first event of a stream in a transaction takes the next seq in the very statement that locks the stream's
-- row; the lock holds until commit, so whoever comes next sees this transaction's outcome before it takes a seq.
-- Under REPEATABLE READ and SERIALIZABLE the one who waited is refused (40001) instead.
--
-- Later events of the same transaction must not update that row each time: the chain of its versions would make
-- a transaction's cost quadratic. The second one marks the row open; from then on the head is the newest event
-- itself, until the transaction ends and tocsin.settle writes it back. So: not open means the head is exact.
--
-- With the rights of its owner: who may append to the log (rights.sql) has no other right here. Nothing in it asks who that
-- is; Postgres does, before it and after it.
create or replace function tocsin.stamp() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    head   tocsin.streams;
    newest tocsin.events;
begin
    -- One condition, not five: plpgsql prepares every expression anew in each transaction.
    if new.seq is null and new.edited_at is null and new.xid is null and new.created_at = now()
       and strpos(new.stream, '/') > 0
       and pg_column_size(new.data) <= 1048576 and pg_column_compression(new.data) is null then
        null;
    else
        new.stream := tocsin.checked_stream(new);
    end if;

    -- Who waits for a row that others keep updating is woken by each of them, together with everybody else who waits. So
    -- writers stand in a queue before it, in which one is woken at a time: those whose first write this is, since a
    -- transaction of many streams must not fill the server's table of locks. The row's lock is what counts.
    if pg_current_xact_id_if_assigned() is null and pg_advisory_xact_lock(hashtextextended(new.stream, 0)) is null then
        null; -- (In a condition it is an expression, at a fraction of what PERFORM costs.)
    end if;

    insert into tocsin.streams as s (stream, head_seq, head_at, last_xid)
    values (new.stream, 1, clock_timestamp(), pg_current_xact_id())
    on conflict (stream) do update
        set head_seq = s.head_seq + 1,
            head_at  = greatest(clock_timestamp(), s.head_at + interval '1 microsecond'),
            last_xid = excluded.last_xid
        where s.last_xid <> excluded.last_xid
    returning s.head_seq, s.head_at, s.last_xid into new.seq, new.edited_at, new.xid;

    if new.seq > 1 then
        null; -- the first event of this stream in this transaction
    elsif new.seq = 1 then
        perform tocsin.check_stream_name(new.stream);
    else
        new.xid := pg_current_xact_id();
        select * into head from tocsin.streams where stream = new.stream;
        if head.open then
            -- Our own rows all have created_at = now(): one partition, one index probe.
            select * into strict newest from tocsin.events
            where stream = new.stream and created_at = now()
            order by seq desc limit 1;
            new.seq := newest.seq + 1;
            new.edited_at := greatest(clock_timestamp(), newest.edited_at + interval '1 microsecond');
        else
            new.seq := head.head_seq + 1;
            new.edited_at := greatest(clock_timestamp(), head.head_at + interval '1 microsecond');
            update tocsin.streams set open = true, head_seq = new.seq, head_at = new.edited_at
            where stream = new.stream;
        end if;
    end if;

    -- While the stream is locked, and before the next row of the statement, so that several events of one object in
    -- one statement build on each other. The usual event, a new object, is complete as it comes but for its id: here it
    -- is written at once, to the same row that tocsin.apply would write.
    if new.kind = 'object.created' and new.object_id is null and jsonb_typeof(new.data -> 'attributes') = 'object'
       and not new.data ?| '{flags,folder,path,storedAt}' and new.stream not like '$%' then
        insert into tocsin.objects (id, store, box_id, folder_id, attributes, flags, correlation_id, correlation_tag,
                                    payload, created_seq, created_at, seq, edited_at)
        values (nextval('tocsin.object_ids'), split_part(new.stream, '/', 1), split_part(new.stream, '/', 2),
                0, new.data -> 'attributes', '{}', new.data ->> 'correlationId', new.data ->> 'correlationTag',
                new.data -> 'payload', new.seq, new.edited_at, new.seq, new.edited_at)
        returning id into new.object_id;
    else
        new := tocsin.completed(new);
        new.data := tocsin.apply(new.stream, new.seq, new.kind, new.object_id, new.data, new.edited_at);
    end if;

    -- The doorbell (ring.sql): unless all nodes are awake, and stay so until we have committed.
    if coalesce(current_setting('tocsin.ring', true), 'auto') in ('off', 'always')
       or not pg_try_advisory_xact_lock_shared(1953456499, 1) then
        perform tocsin.ring(new.stream, new.seq, new.kind, new.object_id, new.data, new.edited_at);
    end if;
    return new;
end
$$;

-- The stream an event belongs to, when what the writer gave is in order: a box without a store is in the default one.
create or replace function tocsin.checked_stream(e tocsin.events) returns text language plpgsql as $$
declare
    size integer;
begin
    if e.seq is not null or e.edited_at is not null or e.xid is not null or e.created_at is distinct from now() then
        raise exception 'seq, edited_at, created_at and xid of tocsin.events are set by the log, not by the writer'
            using errcode = 'invalid_parameter_value',
                  hint = 'A data-only restore into the log is not supported: restore the schema with the data.';
    end if;
    -- No CHECK: every INSERT statement would parse its expression anew. What comes out of a table may be compressed.
    size := case when pg_column_compression(e.data) is null then pg_column_size(e.data) else octet_length(e.data::text) end;
    if size > 1048576 then
        raise exception 'an event of more than 1 MiB: % bytes', size
            using errcode = 'program_limit_exceeded';
    end if;
    return case when strpos(e.stream, '/') = 0 then 'default/' else '' end || e.stream;
end
$$;

-- Runs when a transaction that marked a stream open ends: writes the head back, once per stream. (After SET
-- CONSTRAINTS ... IMMEDIATE it runs after every event instead, which is slower and just as right.) With the rights of its
-- owner: a writer of a watched table (watch.sql) has none here, and it is he who commits.
create or replace function tocsin.settle() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    newest tocsin.events;
begin
    select * into newest from tocsin.events
    where stream = new.stream and created_at = now()
    order by seq desc limit 1;
    update tocsin.streams
    set open = false,
        head_seq = greatest(head_seq, newest.seq),
        head_at = greatest(head_at, newest.edited_at)
    where stream = new.stream and open;
    return null;
end
$$;

-- A stream is `store/boxId`, or `$aggregate/id` for those that are not boxes. Ids go into URLs: no further slash,
-- no control characters, no more than 255 characters.
create or replace function tocsin.check_stream_name(name text) returns void language plpgsql as $$
begin
    if name !~ '^[^/[:cntrl:]]+/[^/[:cntrl:]]+$' or length(name) > 511
       or length(split_part(name, '/', 1)) > 255 or length(split_part(name, '/', 2)) > 255 then
        raise exception 'not a stream: %', left(name, 300)
            using errcode = 'invalid_parameter_value',
                  hint = 'A box is written as boxId or store/boxId, each 1 to 255 characters without slash or control characters.';
    end if;
end
$$;
