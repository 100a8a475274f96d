-- The log: one append-only table of events, and where each stream of it stands.
-- What is written into these tables, and in which order, is decided by the triggers in sql/triggers.

-- Which version of the functions, views and triggers of sql/ is loaded.
create table tocsin.replaceable (
    one         boolean primary key default true constraint replaceable_one_row check (one),
    fingerprint text    not null
);

-- Which cluster the transaction ids in the log belong to: they mean nothing in another one.
create table tocsin.cluster (
    one               boolean primary key default true constraint cluster_one_row check (one),
    system_identifier bigint  not null
);

-- One row per stream: the lock that its writers queue on, and its head.
create table tocsin.streams (
    stream   text        not null constraint streams_pkey primary key,
    head_seq bigint      not null,               -- seq of the newest event
    head_at  timestamptz not null,               -- its edited_at: the stream's restartToken
    last_xid xid8        not null,               -- the transaction that wrote it
    open     boolean     not null default false, -- true only inside a transaction: the head is in tocsin.events (see tocsin.stamp)
    base_seq bigint      not null default 0,     -- everything up to here is no longer kept
    base_at  timestamptz not null default '-infinity'
) with (fillfactor = 70); -- room for the head to move within its page

-- One row per event. Partitioned by the start of the writing transaction, which a row trigger may leave alone
-- (a BEFORE ROW trigger may not move a row to another partition, so edited_at cannot be the key).
create table tocsin.events (
    stream     text        not null,
    seq        bigint      not null, -- 1, 2, 3... within the stream, in commit order: the NMS lastModSeq
    kind       text        not null,
    object_id  bigint,               -- the object it is about, in the kinds that are about one
    data       jsonb       not null default '{}',
    edited_at  timestamptz not null, -- strictly increasing within the stream: the NMS restartToken
    created_at timestamptz not null default now(),
    xid        xid8        not null  -- what the tailer follows
) partition by range (created_at);

create index events_xid on tocsin.events (xid);
