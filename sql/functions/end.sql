-- Ends a channel, and with it its subscriptions; `how` is 'deleted' or 'expired'. One event each, written in the
-- order of their streams, so that two who end many things do not deadlock.
create or replace function tocsin.end_channel(channel text, how text) returns boolean language plpgsql as $$
declare
    sources text[];
begin
    delete from tocsin.channel_lifetimes where channel_id = channel;
    if not found then
        return false;
    end if;
    sources := array(select id from tocsin.subscriptions where channel_id = channel) || channel;
    insert into tocsin.events (stream, kind, data)
    select ends.stream, ends.kind, ends.data from (
        select '$channel/' || channel as stream, 'channel.' || how as kind, jsonb_build_object('id', channel) as data
        union all
        select s.stream, 'subscription.' || how, tocsin.ended_subscription(s)
        from tocsin.subscriptions s where s.channel_id = channel) as ends
    order by ends.stream, ends.data ->> 'id';
    -- After the streams are locked, as whoever ends one subscription does.
    delete from tocsin.cursors where source_id = any (sources);
    delete from tocsin.sent where source_id = any (sources);
    delete from tocsin.senders where channel_id = channel;
    delete from tocsin.large_polls where channel_id = channel;
    delete from tocsin.callback_keys where channel_id = channel;
    delete from tocsin.polls where channel_id = channel;
    return true;
end
$$;

-- What the log says of a subscription that ends: how far its client had confirmed, too.
create or replace function tocsin.ended_subscription(s tocsin.subscriptions) returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
        'id', s.id, 'channel', s.channel_id,
        'confirmed', (select jsonb_build_object('seq', c.next_seq - 1, 'nextIndex', c.next_index, 'at', c.confirmed_at)
                      from tocsin.cursors c where c.source_id = s.id and c.generation = s.generation)))
$$;

-- Ends one subscription of a stream. The stream is locked first: of two who end it, one does. One that has a channel of
-- its own ends with that, whose lock comes first.
create or replace function tocsin.end_subscription(of_stream text, subscription text, how text) returns boolean language plpgsql as $$
declare
    own_channel text;
    ended       jsonb;
begin
    select s.channel_id into own_channel
    from tocsin.subscriptions s join tocsin.channels n on n.id = s.channel_id
    where s.id = subscription and s.stream = of_stream and n.settings ->> 'type' = 'NotifyUrl';
    if found then
        return tocsin.end_channel(own_channel, how);
    end if;
    perform from tocsin.streams where stream = of_stream for update;
    select tocsin.ended_subscription(s) into ended from tocsin.subscriptions s where s.id = subscription and s.stream = of_stream;
    if not found then
        return false;
    end if;
    insert into tocsin.events (stream, kind, data) values (of_stream, 'subscription.' || how, ended);
    delete from tocsin.cursors where source_id = subscription;
    delete from tocsin.sent where source_id = subscription;
    return true;
end
$$;

-- Ends what has outlived its time by the database's clock, a bounded number at a time; answers how many ended.
-- What touches a box that a writer holds just now waits for the next time: one idle transaction must not hold up all
-- the others.
create or replace function tocsin.expire(most integer) returns integer language plpgsql as $$
declare
    ended integer := 0;
    it    record;
begin
    for it in
        select channel_id from tocsin.channel_lifetimes where expires_at <= now()
        order by expires_at limit most for update skip locked
    loop
        begin
            perform from tocsin.streams
            where stream in (select stream from tocsin.subscriptions where channel_id = it.channel_id)
            order by stream for update nowait;
            ended := ended + tocsin.end_channel(it.channel_id, 'expired')::integer;
        exception when lock_not_available then
            null;
        end;
    end loop;
    for it in
        -- (Those of a channel that is over end with it.)
        select s.stream, s.id from tocsin.subscriptions s
        where s.expires_at <= now()
          and not exists (select from tocsin.channel_lifetimes l where l.channel_id = s.channel_id and l.expires_at <= now())
        order by s.stream limit most
    loop
        begin
            perform from tocsin.streams where stream = it.stream for update nowait;
            ended := ended + tocsin.end_subscription(it.stream, it.id, 'expired')::integer;
        exception when lock_not_available then
            null;
        end;
    end loop;
    return ended;
end
$$;
