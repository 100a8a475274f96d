-- Takes a notification that an enabler posts to a channel: an event of the channel's own stream. Answers 'gone' when the
-- channel does not live, 'known' when one with this key was taken before, 'full' when `most` wait for the client, or as
-- many bytes as `most_bytes`, and 'taken'.
create or replace function tocsin.take_callback(
    channel text, format text, body text, key text, most bigint, most_bytes bigint default 67108864)
returns text language plpgsql as $$
declare
    own_stream text := '$channel/' || channel;
    next_seq   bigint;
    waiting    bigint;
    total      bigint;
begin
    -- Whoever ends the channel waits for us, or we for him.
    perform from tocsin.channel_lifetimes where channel_id = channel and expires_at > now() for key share;
    if not found then
        return 'gone';
    end if;
    if exists (select from tocsin.callback_keys k where k.channel_id = channel and k.key = take_callback.key) then
        return 'known';
    end if;
    -- The writers of one channel's stream stand in its queue (stamp.sql) here already: each adds to the sum that the one
    -- before has left.
    perform pg_advisory_xact_lock(hashtextextended(own_stream, 0));
    next_seq := coalesce((select c.next_seq from tocsin.cursors c where c.source_id = channel), 2);
    select s.head_seq + 1 - next_seq into waiting from tocsin.streams s where s.stream = own_stream;
    total := tocsin.posted_bytes(own_stream, null);
    if waiting >= most or waiting > 0 and total - tocsin.posted_bytes(own_stream, next_seq) >= most_bytes then
        return 'full';
    end if;
    if key is not null then
        -- Of two who bring the same key at once, on whatever nodes, the second waits here for the first.
        insert into tocsin.callback_keys as k (channel_id, key) values (channel, take_callback.key) on conflict do nothing;
        if not found then
            return 'known';
        end if;
    end if;
    insert into tocsin.events (stream, kind, data)
    values (own_stream, 'channel.notified', jsonb_build_object('format', format, 'body', body, 'total', total + octet_length(body)));
    return 'taken';
end
$$;

-- How many bytes were posted to a channel before an event of its stream, or in all: each notification says the sum, so
-- that nobody has to add up what waits.
-- (Not in SQL, which would be planned anew in each call.)
create or replace function tocsin.posted_bytes(own_stream text, before bigint) returns bigint language plpgsql stable as $$
begin
    return coalesce((
        select (data ->> 'total')::bigint from tocsin.events
        where stream = own_stream and kind = 'channel.notified' and seq < coalesce(before, 9223372036854775807)
        order by seq desc limit 1), 0);
end
$$;

-- Forgets the keys of callbacks that were taken more than a day ago, a bounded number at a time; answers how many.
create or replace function tocsin.forget_callback_keys(most integer) returns bigint language sql as $$
    with old as (
        select channel_id, key from tocsin.callback_keys
        where created_at < now() - interval '1 day'
        order by created_at limit most for update skip locked
    ), forgotten as (
        delete from tocsin.callback_keys k using old where k.channel_id = old.channel_id and k.key = old.key
        returning 1
    )
    select count(*) from forgotten
$$;
