-- The temporary channelURL where a client fetches what is too much for a push (5.2.2.8).
create table tocsin.large_polls (
    channel_id text        not null constraint large_polls_pkey primary key,
    serial     text        not null, -- stands in the URL
    expires_at timestamptz not null,
    drained_at timestamptz           -- everything was handed over, and the URL is no more
);
