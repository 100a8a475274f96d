-- For who runs the server: boxes by name, and what is sent in vain.
create index streams_of_boxes on tocsin.streams (stream collate "C") where left(stream, 1) <> '$';

alter table tocsin.senders add column retry_at timestamptz; -- when the next attempt is due; null: nothing failed
create index senders_failing on tocsin.senders (channel_id) where failing_since is not null;

-- A disabled channel has failed, too.
update tocsin.senders s set failing_since = c.disabled_at, last_error = c.disabled_why
from tocsin.channels c where c.id = s.channel_id and c.disabled_at is not null and s.failing_since is null;

-- The pause became a parameter (sql/functions/senders.sql).
drop function if exists tocsin.sender_failed(text, text, interval);

-- Inboxes have channels that are sent to, too: without them in its condition, no claim could use the index.
drop index tocsin.channels_to_send;
create index channels_to_send on tocsin.channels (id)
    where settings ->> 'type' in ('OMAPush', 'NativeChannel', 'Webhooks', 'NotifyUrl', 'Inbox') and disabled_at is null;
