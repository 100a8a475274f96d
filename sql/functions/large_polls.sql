-- Large-data polling: while a client may fetch from a temporary URL, nothing is pushed to its channel.

-- A new temporary URL, instead of an older one; answers when it expires.
create or replace function tocsin.large_poll_open(channel text, new_serial text, seconds bigint)
returns timestamptz language sql as $$
    insert into tocsin.large_polls as p (channel_id, serial, expires_at)
    values (channel, new_serial, now() + make_interval(secs => seconds))
    on conflict (channel_id) do update
        set serial = excluded.serial, expires_at = excluded.expires_at, drained_at = null
    returning p.expires_at
$$;

-- A client fetches: the URL lives on for as long as at first. False when it is no more.
create or replace function tocsin.large_poll_use(channel text, of_serial text, seconds bigint)
returns boolean language plpgsql as $$
begin
    update tocsin.large_polls set expires_at = now() + make_interval(secs => seconds)
    where channel_id = channel and serial = of_serial and expires_at > now() and drained_at is null;
    return found;
end
$$;

-- Everything is handed over.
create or replace function tocsin.large_poll_drain(channel text, of_serial text) returns void language sql as $$
    update tocsin.large_polls set drained_at = now() where channel_id = channel and serial = of_serial
$$;

-- Whether the client has (or had its time for) fetching: then what its last answer brought is confirmed, unless that
-- is known to be lost, and pushing may go on. `grace`: how long a lost answer may take to be noticed. Null when the
-- channel is no more.
create or replace function tocsin.large_poll_over(channel text, grace interval) returns boolean language plpgsql as $$
declare
    it tocsin.large_polls;
begin
    perform from tocsin.channel_lifetimes where channel_id = channel and expires_at > now() for update;
    if not found then
        return null;
    end if;
    select * into it from tocsin.large_polls where channel_id = channel for update;
    if it.expires_at > now() and it.drained_at is null or it.drained_at > now() - grace then
        return false;
    end if;
    delete from tocsin.large_polls where channel_id = channel;
    perform tocsin.poll_confirm(channel);
    return true;
end
$$;
