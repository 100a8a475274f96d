-- The doorbell: wakes the nodes that sleep, and spares the NOTIFY when none does.
--
-- A NOTIFY costs every notifying transaction one database-wide lock until its WAL is flushed. So: a node that sleeps, or
-- is about to, holds an advisory key exclusively or stands in the queue for it; a writer tries the key shared. It fails:
-- somebody sleeps, so ring. It succeeds: all nodes are awake and read on, and none can fall asleep without seeing this
-- row, because our shared lock stands in its way until we have committed. (src/log/doorbell.rs has the node's half.)
--
-- tocsin.ring = 'off' spares a session the NOTIFY (PREPARE TRANSACTION refuses it); 'always' rings for every statement,
-- for people who LISTEN with their own programs; anything else is 'auto'.
create or replace function tocsin.ring() returns trigger language plpgsql as $$
declare
    setting text := coalesce(current_setting('tocsin.ring', true), 'auto');
    copy    text;
begin
    -- One ring a transaction is enough: it is heard after the commit, when all of it can be read.
    if setting = 'off'
       or setting <> 'always'
          and (current_setting('tocsin.rung', true) = 'yes' or pg_try_advisory_xact_lock_shared(1953456499, 1))
    then
        return null;
    end if;
    -- A listener somewhere is stuck. A full queue would fail writers; a missed ring only costs the slow poll's second.
    if pg_notification_queue_usage() > 0.5 then
        return null;
    end if;
    -- What the ring carries: a copy of the event when the statement wrote just one and it is small, else nothing. It
    -- spares the common case a read of the log before delivery; it is never the truth. A payload of 8,000 bytes or
    -- more would fail the writer, so the limit stays well below.
    select min(json_build_object('stream', e.stream, 'seq', e.seq, 'kind', e.kind, 'object_id', e.object_id,
                                 'edited_at', e.edited_at, 'data', e.data)::text)
    into copy
    from (select * from inserted limit 2) as e
    having count(*) = 1;
    -- (The setting is the transaction's. A savepoint that is rolled back takes it back together with the ring.)
    perform pg_notify('tocsin', case when octet_length(copy) <= 7500 then copy else '' end),
            set_config('tocsin.rung', 'yes', true);
    return null;
end
$$;
