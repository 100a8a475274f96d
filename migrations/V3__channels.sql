-- Channels and subscriptions are projections of their events. How long a channel lives on, and how far a
-- subscription has been delivered, are not history: they are kept beside, and survive a rebuild.

create table tocsin.channels (
    id                text        not null constraint channels_pkey primary key,
    user_id           text        not null,
    channel_type      text        not null,
    max_notifications integer     not null,
    client_correlator text,
    application_tag   text,
    created_at        timestamptz not null
);

create index channels_by_user on tocsin.channels (user_id, created_at);

create table tocsin.channel_lifetimes (
    channel_id       text        not null constraint channel_lifetimes_pkey primary key,
    lifetime_seconds integer     not null, -- as granted last; a poll or an opened socket starts it again
    expires_at       timestamptz not null
);

create index channel_lifetimes_by_expiry on tocsin.channel_lifetimes (expires_at);

create table tocsin.subscriptions (
    id                text        not null constraint subscriptions_pkey primary key,
    stream            text        not null,
    channel_id        text        not null,
    callback_data     text,
    format            text        not null constraint subscriptions_format check (format in ('JSON', 'XML')),
    filter            jsonb,
    client_correlator text,
    expires_at        timestamptz not null,
    created_seq       bigint      not null,
    -- Where delivery starts: set when it is created, and again by an update with a restartToken.
    generation        bigint      not null, -- seq of the event that set it; a cursor of another generation is void
    start_seq         bigint      not null, -- the first seq wanted
    start_at          timestamptz not null, -- edited_at of the event before it
    start_index       bigint      not null,
    start_reset       boolean     not null  -- begin with a resetBox
);

create index subscriptions_by_channel on tocsin.subscriptions (channel_id);
create index subscriptions_by_stream on tocsin.subscriptions (stream);
create index subscriptions_by_expiry on tocsin.subscriptions (expires_at);

-- How far each subscription has been delivered and confirmed.
create table tocsin.cursors (
    subscription_id text        not null constraint cursors_pkey primary key,
    generation      bigint      not null,
    next_seq        bigint      not null, -- the next seq wanted
    next_at         timestamptz not null, -- edited_at of the event before it: tells a restored, different history
    next_index      bigint      not null  -- the index of the next nmsEventList
) with (fillfactor = 70);

-- The key that channelURLs and callbackURLs are made with, so that no secret is stored per channel.
create table tocsin.url_keys (
    id  integer generated always as identity constraint url_keys_pkey primary key,
    key bytea   not null constraint url_keys_size check (octet_length(key) >= 32)
);
insert into tocsin.url_keys (key)
select decode(replace(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
