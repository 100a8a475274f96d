-- Ends a channel, and with it its subscriptions; `how` is 'deleted' or 'expired'. One event each, written in the
-- order of their streams, so that two who end many things do not deadlock.
create or replace function tocsin.end_channel(channel text, how text) returns boolean language plpgsql as $$
begin
    delete from tocsin.channel_lifetimes where channel_id = channel;
    if not found then
        return false;
    end if;
    delete from tocsin.senders where channel_id = channel;
    delete from tocsin.large_polls where channel_id = channel;
    delete from tocsin.cursors
    where source_id = channel or source_id in (select id from tocsin.subscriptions where channel_id = channel);
    delete from tocsin.callback_keys where channel_id = channel;
    delete from tocsin.polls where channel_id = channel;
    insert into tocsin.events (stream, kind, data)
    select ends.stream, ends.kind, ends.data from (
        select '$channel/' || channel as stream, 'channel.' || how as kind, jsonb_build_object('id', channel) as data
        union all
        select s.stream, 'subscription.' || how, jsonb_build_object('id', s.id, 'channel', channel)
        from tocsin.subscriptions s where s.channel_id = channel) as ends
    order by ends.stream, ends.data ->> 'id';
    return true;
end
$$;

-- Ends one subscription of a stream. The stream is locked first: of two who end it, one does.
create or replace function tocsin.end_subscription(of_stream text, subscription text, how text) returns boolean language plpgsql as $$
declare
    of_channel text;
begin
    perform from tocsin.streams where stream = of_stream for update;
    select channel_id into of_channel from tocsin.subscriptions where id = subscription and stream = of_stream;
    if not found then
        return false;
    end if;
    insert into tocsin.events (stream, kind, data)
    values (of_stream, 'subscription.' || how, jsonb_build_object('id', subscription, 'channel', of_channel));
    delete from tocsin.cursors where source_id = subscription;
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
        select stream, id from tocsin.subscriptions where expires_at <= now() order by stream limit most
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
