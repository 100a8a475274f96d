-- A channel delivers from sources: its subscriptions, and what enablers post to its own callbackURL. The source's id is
-- the subscription's or the channel's.
alter table tocsin.cursors rename column subscription_id to source_id;

-- Callbacks that were taken, by the key their sender gave them: the same one again is none. Kept for a day.
create table tocsin.callback_keys (
    channel_id text        not null,
    key        text        not null,
    created_at timestamptz not null default now(),
    constraint callback_keys_pkey primary key (channel_id, key)
);

create index callback_keys_by_age on tocsin.callback_keys (created_at);

-- What a polling channel was answered last, until its next poll says that it arrived.
create table tocsin.polls (
    channel_id text    not null constraint polls_pkey primary key,
    open       text,                       -- the poll that waits for its answer
    answered   text,                       -- the poll that was answered last
    sent       jsonb   not null default '[]', -- the positions after that answer: [{"source", "generation", "seq", "at", "index"}]
    lost       boolean not null default false -- that answer did not arrive
) with (fillfactor = 70);
