-- Who delivers to the channels that are not fetched by their clients but pushed or posted to, and how that goes. One
-- node at a time has a channel's lease. Not history: kept beside.

create table tocsin.senders (
    channel_id    text        not null constraint senders_pkey primary key,
    node          text        not null,
    lease_until   timestamptz not null,
    failing_since timestamptz,          -- of the first of the failures without a success between them
    attempts      integer     not null default 0, -- failures in a row
    last_error    text
) with (fillfactor = 70);

create index senders_by_node on tocsin.senders (node);

-- Given up, until its client refreshes it.
alter table tocsin.channels add column disabled_at timestamptz, add column disabled_why text;

create index channels_to_send on tocsin.channels (id)
    where settings ->> 'type' in ('OMAPush', 'NativeChannel', 'Webhooks') and disabled_at is null;
