-- The doorbell: wakes the nodes that sleep, and spares the NOTIFY when none does.
--
-- A NOTIFY costs every notifying transaction one database-wide lock until its WAL is flushed. So: a node that sleeps, or
-- is about to, holds an advisory key exclusively or stands in the queue for it; a writer tries the key shared. It fails:
-- somebody sleeps, so ring. It succeeds: all nodes are awake and read on, and none can fall asleep without seeing this
-- row, because our shared lock stands in its way until we have committed. (src/log/doorbell.rs has the node's half.)
--
-- tocsin.stamp tries the key with each event, and comes here when somebody may have to be rung.
--
-- Whoever may connect to the database may LISTEN and NOTIFY, on any channel whose name he knows. So the nodes' has a name
-- that only those know who may read tocsin.doorbell: nobody else hears a copy, or rings with a forged one.
--
-- tocsin.ring = 'off' spares a session the NOTIFY (PREPARE TRANSACTION refuses it); 'always' rings for every event, also on
-- the channel `tocsin`, for people who LISTEN with their own programs; anything else is 'auto'.
create or replace function tocsin.ring(stream text, seq bigint, kind text, object_id bigint, data jsonb, edited_at timestamptz)
returns void language plpgsql as $$
declare
    setting text := coalesce(current_setting('tocsin.ring', true), 'auto');
    copy    text;
begin
    -- One ring a transaction is enough: it is heard after the commit, when all of it can be read.
    if setting = 'off' or setting <> 'always' and current_setting('tocsin.rung', true) = 'yes' then
        return;
    end if;
    -- A listener somewhere is stuck. A full queue would fail writers; a missed ring only costs the slow poll's second.
    if pg_notification_queue_usage() > 0.5 then
        return;
    end if;
    -- What the ring carries: a copy of the event when it is small, else nothing. It spares the common case, a transaction
    -- of one event, a read of the log before delivery; it is never the truth. A payload of 8,000 bytes or more would fail
    -- the writer, so the limit stays well below.
    copy := json_build_object('stream', stream, 'seq', seq, 'kind', kind, 'object_id', object_id, 'edited_at', edited_at,
                              'data', data);
    copy := case when octet_length(copy) <= 7500 then copy else '' end;
    -- (The setting is the transaction's. A savepoint that is rolled back takes it back together with the ring.)
    perform pg_notify((select channel from tocsin.doorbell), copy), set_config('tocsin.rung', 'yes', true);
    if setting = 'always' then
        perform pg_notify('tocsin', copy);
    end if;
end
$$;
