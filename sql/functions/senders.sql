-- Takes up to `most` channels that nobody delivers to: new ones, and those whose node has not renewed its lease.
create or replace function tocsin.claim_channels(by_node text, lease interval, most integer)
returns setof text language sql as $$
    insert into tocsin.senders as s (channel_id, node, lease_until)
    select c.id, by_node, now() + lease
    from tocsin.channels c
    join tocsin.channel_lifetimes l on l.channel_id = c.id
    left join tocsin.senders s on s.channel_id = c.id
    where c.settings ->> 'type' in ('OMAPush', 'NativeChannel', 'Webhooks', 'NotifyUrl', 'Inbox') and c.disabled_at is null
      and l.expires_at > now() and (s.lease_until is null or s.lease_until <= now())
    order by c.id
    limit most
    on conflict (channel_id) do update set node = excluded.node, lease_until = excluded.lease_until
        where s.lease_until <= now()
    returning channel_id
$$;

-- An attempt failed; the next one comes after `pause`. When that has been so for `patience`, the channel is disabled, and the
-- log says why: answers whether it is. (A node of an older version says no pause.)
create or replace function tocsin.sender_failed(channel text, why text, patience interval, pause interval default null)
returns boolean language plpgsql as $$
declare
    since timestamptz;
begin
    update tocsin.senders
    set failing_since = coalesce(failing_since, now()), attempts = attempts + 1, last_error = why, retry_at = now() + pause
    where channel_id = channel
    returning failing_since into since;
    return since <= now() - patience and tocsin.disable_channel(channel, why);
end
$$;

-- Gives a channel up; false when it is no more.
create or replace function tocsin.disable_channel(channel text, why text) returns boolean language plpgsql as $$
begin
    insert into tocsin.events (stream, kind, data)
    select '$channel/' || id, 'channel.disabled', jsonb_build_object('id', id, 'why', why)
    from tocsin.channels where id = channel and disabled_at is null;
    if not found then
        return false;
    end if;
    update tocsin.senders set failing_since = coalesce(failing_since, now()), last_error = why, retry_at = null
    where channel_id = channel;
    return true;
end
$$;

-- Its client shows that it is there: delivery goes on where it stood.
create or replace function tocsin.enable_channel(channel text) returns boolean language plpgsql as $$
begin
    insert into tocsin.events (stream, kind, data)
    select '$channel/' || id, 'channel.enabled', jsonb_build_object('id', id)
    from tocsin.channels where id = channel and disabled_at is not null;
    if found then
        update tocsin.senders set failing_since = null, attempts = 0, last_error = null, retry_at = null where channel_id = channel;
    end if;
    return found;
end
$$;

-- Whoever runs the server wants the next attempt now: a disabled channel is enabled, and who waits is woken when its node
-- renews the lease. False when nothing is sent to such a channel.
create or replace function tocsin.retry_sender(channel text) returns boolean language plpgsql as $$
begin
    if tocsin.enable_channel(channel) then
        return true;
    end if;
    update tocsin.senders set retry_at = now() where channel_id = channel and failing_since is not null;
    return found or exists (select from tocsin.senders where channel_id = channel);
end
$$;
