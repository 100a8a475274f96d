-- Subscriptions that deliver to a URL of their client bring a channel of their own, of the type NotifyUrl.
drop index tocsin.channels_to_send;
create index channels_to_send on tocsin.channels (id)
    where settings ->> 'type' in ('OMAPush', 'NativeChannel', 'Webhooks', 'NotifyUrl') and disabled_at is null;

-- When things happened, for those who ask (`tocsin explain`).
alter table tocsin.cursors add column confirmed_at timestamptz;
alter table tocsin.polls add column answered_at timestamptz;

-- How far a source was sent to a client that takes its time to confirm it; of use while it is beyond the cursor. Not
-- history: kept beside.
create table tocsin.sent (
    source_id  text        not null constraint sent_pkey primary key,
    generation bigint      not null,
    next_seq   bigint      not null, -- everything before it was sent
    sent_at    timestamptz not null
) with (fillfactor = 70);
