-- `tocsin rebuild`: makes the projections anew from the log, by the text that writes them live (apply.sql), and puts
-- right what differs. src/postgres/rebuild.rs calls these one after the other, in one session.
--
-- The log is replayed into copies, temporary tables of that session, a small transaction at a time. Not into the
-- projections themselves, in one transaction: what a transaction wrote and changes again it must remember in memory, and
-- walk through again with each further change, so that one which replays the whole log would grow with it. And so
-- nobody sees the work half done, at whatever isolation level, and a crash leaves nothing behind.

-- The projections: tables of tocsin that follow from the log alone, each with a primary key. Only functions named
-- apply... (apply.sql) write into them.
create or replace function tocsin.projections() returns text[] language sql immutable as $$
    select array['objects', 'folders', 'channels', 'subscriptions', 'inboxes', 'notifications', 'deferred']
$$;

-- Makes the copies, empty, and pg_temp.apply, which writes into them: apply.sql as it is loaded, with other tables.
create or replace function tocsin.rebuild_begin() returns void language plpgsql as $$
declare
    projection text;
    definition text;
begin
    foreach projection in array tocsin.projections() loop
        execute format('create temporary table %1$I (like tocsin.%1$I including all)', projection);
    end loop;
    -- How far the copies have come.
    create temporary table replayed (stream text not null primary key, seq bigint not null);
    for definition in
        select pg_get_functiondef(oid) from pg_proc
        where pronamespace = 'tocsin'::regnamespace and proname like 'apply%'
    loop
        definition := regexp_replace(
            definition, format('\mtocsin\.(apply\w*|%s)\M', array_to_string(tocsin.projections(), '|')), 'pg_temp.\1', 'g');
        if definition ~ '\m(into|update|from|join)\s+tocsin\.' then
            raise exception 'apply.sql has to do with a table that tocsin.projections() does not name: %', definition;
        end if;
        execute definition;
    end loop;
end
$$;

-- Brings the copies on by up to `most` events, of the streams from `since` on; answers how many, and the last stream
-- that had any. Fewer than `most`: there were no more. Each call costs the same however long the log is: it reads from
-- where it stands, along indexes (which the settings insist on, since a new partition has no statistics yet), and
-- stops.
create or replace function tocsin.rebuild_step(since text, most bigint, out stream text, out events bigint)
language plpgsql set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off as $$
declare
    behind record;
    more   record;
begin
    events := 0;
    for behind in
        select * from (
            select s.stream, s.head_seq, coalesce((select r.seq from pg_temp.replayed r where r.stream = s.stream), 0) as seq
            from tocsin.streams s where s.stream >= since order by s.stream) as heads
        where seq < head_seq
    loop
        select count(pg_temp.apply(e.stream, e.seq, e.kind, e.object_id, e.data, e.edited_at)) as count, max(e.seq) as seq
        into more
        from (select * from tocsin.events as l where l.stream = behind.stream and l.seq > behind.seq
              order by l.seq limit most - events) as e;
        insert into pg_temp.replayed (stream, seq) values (behind.stream, more.seq)
        on conflict on constraint replayed_pkey do update set seq = excluded.seq;
        stream := behind.stream;
        events := events + more.count;
        exit when events >= most;
    end loop;
end
$$;

-- Makes each projection what its copy is; answers how many rows it has now, how many were not what the log says and
-- were removed, and how many were written. Rows that are right are left alone. The caller keeps writers away and has
-- replayed everything.
create or replace function tocsin.rebuild_finish()
returns table (projection text, rows bigint, removed bigint, written bigint) language plpgsql as $$
declare
    same_key text;
begin
    foreach projection in array tocsin.projections() loop
        select string_agg(format('built.%1$I = live.%1$I', a.attname), ' and ') into strict same_key
        from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where i.indrelid = ('tocsin.' || quote_ident(projection))::regclass and i.indisprimary;
        execute format(
            'delete from tocsin.%1$I as live
             where not exists (select from pg_temp.%1$I as built where %2$s and built *= live)', projection, same_key);
        get diagnostics removed = row_count;
        execute format(
            'insert into tocsin.%1$I
             select * from pg_temp.%1$I as built where not exists (select from tocsin.%1$I as live where %2$s)',
            projection, same_key);
        get diagnostics written = row_count;
        if projection = 'objects' and written > 0 then
            perform tocsin.forget_terms(); -- they may lie where the text index has been
        end if;
        execute format('select count(*) from tocsin.%I', projection) into rows;
        return next;
    end loop;
end
$$;
