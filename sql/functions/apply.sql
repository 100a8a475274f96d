-- Writes what an event did into the projections, from the event alone: the same text serves the live write and a
-- rebuild. Called row by row in the order of seq: a set-based upsert would meet one object twice and fail. Answers the
-- data, so that a caller can use it in an assignment, which is cheaper than PERFORM. Whatever writes into projections is
-- here, in functions named apply...: a rebuild copies those (rebuild.sql).
create or replace function tocsin.apply(stream text, seq bigint, kind text, object_id bigint, data jsonb, edited_at timestamptz)
returns jsonb language plpgsql as $$
begin
    if kind = 'object.created' then -- (tocsin.stamp writes the usual one itself: what changes here changes there)
        insert into tocsin.objects (id, store, box_id, folder_id, attributes, flags, correlation_id, correlation_tag,
                                    payload, created_seq, created_at, seq, edited_at)
        values (object_id, split_part(stream, '/', 1), split_part(stream, '/', 2),
                coalesce((data ->> 'folder')::bigint, 0), data -> 'attributes',
                case when data ? 'flags' then tocsin.texts(data -> 'flags') else '{}' end,
                data ->> 'correlationId', data ->> 'correlationTag', data -> 'payload', seq, edited_at, seq, edited_at);
        return data;
    end if;
    case split_part(kind, '.', 1)
    when 'object' then
        perform tocsin.apply_object(seq, kind, object_id, data, edited_at);
    when 'folder' then
        perform tocsin.apply_folder(stream, seq, kind, object_id, data, edited_at);
    when 'subscription' then
        perform tocsin.apply_subscription(stream, seq, kind, data);
    when 'channel' then
        perform tocsin.apply_channel(kind, data, edited_at);
    when 'notification' then
        perform tocsin.apply_notification(stream, seq, kind, object_id, data);
    when 'inbox' then
        perform tocsin.apply_inbox(stream, seq, kind, data);
    when 'room' then
        null; -- its stream is all there is of it
    when 'deferred' then
        perform tocsin.apply_deferred(kind, object_id, data, edited_at);
    when 'box' then
        delete from tocsin.objects
        where store = split_part(apply.stream, '/', 1) and box_id = split_part(apply.stream, '/', 2);
        delete from tocsin.folders
        where store = split_part(apply.stream, '/', 1) and box_id = split_part(apply.stream, '/', 2);
    else
        perform tocsin.apply(stream, seq, 'object.created', object_id, data, edited_at);
    end case;
    return data;
end
$$;

-- (Not in SQL, whose statements are planned anew in each call: that would take four times as long.)
create or replace function tocsin.apply_object(seq bigint, kind text, object_id bigint, data jsonb, edited_at timestamptz)
returns void language plpgsql as $$
begin
    update tocsin.objects
    set folder_id = coalesce((data ->> 'folder')::bigint, 0),
        attributes = data -> 'attributes',
        flags = case when data ? 'flags' then tocsin.texts(data -> 'flags') else '{}' end,
        seq = apply_object.seq,
        edited_at = apply_object.edited_at,
        gone = case kind when 'object.deleted' then 'deleted' when 'object.expired' then 'expired' end
    where id = object_id;
end
$$;

create or replace function tocsin.apply_folder(stream text, seq bigint, kind text, folder bigint, data jsonb, edited_at timestamptz)
returns void language plpgsql as $$
begin
    if kind = 'folder.created' then
        insert into tocsin.folders (id, store, box_id, parent_id, name, attributes, created_seq, created_at, seq, edited_at)
        values (folder, split_part(stream, '/', 1), split_part(stream, '/', 2), coalesce((data ->> 'parent')::bigint, 0),
                data ->> 'name', data -> 'attributes', seq, edited_at, seq, edited_at);
    else
        update tocsin.folders
        set parent_id = coalesce((data ->> 'parent')::bigint, 0),
            name = data ->> 'name',
            attributes = data -> 'attributes',
            seq = apply_folder.seq,
            edited_at = apply_folder.edited_at,
            gone = case kind when 'folder.deleted' then 'deleted' when 'folder.expired' then 'expired' end
        where id = folder;
    end if;
end
$$;

create or replace function tocsin.apply_subscription(stream text, seq bigint, kind text, data jsonb)
returns void language plpgsql as $$
begin
    case kind
    when 'subscription.created' then
        insert into tocsin.subscriptions (
            id, stream, channel_id, callback_data, format, filter, client_correlator, expires_at,
            created_seq, generation, start_seq, start_at, start_index, start_reset, attributes, subscriber, privileged)
        values (
            data ->> 'id', stream, data ->> 'channel', data ->> 'callbackData',
            data ->> 'format', nullif(data -> 'filter', 'null'), data ->> 'clientCorrelator',
            (data ->> 'expiresAt')::timestamptz, seq, seq,
            (data ->> 'from')::bigint + 1, (data ->> 'token')::timestamptz, 1, (data ->> 'reset')::boolean,
            coalesce((data ->> 'withAttributes')::boolean, false), data ->> 'subscriber',
            coalesce((data ->> 'privileged')::boolean, false));
    when 'subscription.updated' then -- lives longer
        update tocsin.subscriptions
        set expires_at = (data ->> 'expiresAt')::timestamptz
        where id = data ->> 'id';
    when 'subscription.repositioned' then -- lives longer, and starts again from a restartToken
        update tocsin.subscriptions
        set expires_at = (data ->> 'expiresAt')::timestamptz,
            generation = seq,
            start_seq = (data ->> 'from')::bigint + 1,
            start_at = (data ->> 'token')::timestamptz,
            start_index = (data ->> 'index')::bigint,
            start_reset = (data ->> 'reset')::boolean
        where id = data ->> 'id';
    when 'subscription.deleted', 'subscription.expired' then
        delete from tocsin.subscriptions where id = data ->> 'id';
    else
        raise exception 'unknown kind of event: %', kind using errcode = 'invalid_parameter_value';
    end case;
end
$$;

create or replace function tocsin.apply_channel(kind text, data jsonb, edited_at timestamptz)
returns void language plpgsql as $$
begin
    case kind
    when 'channel.created' then
        insert into tocsin.channels (id, user_id, settings, format, client_correlator, application_tag, created_at)
        values (data ->> 'id', data ->> 'user', data -> 'settings', data ->> 'format',
                data ->> 'clientCorrelator', data ->> 'applicationTag', edited_at);
    when 'channel.opened', 'channel.notified' then
        null; -- which connection is the newest; what an enabler posted
    when 'channel.disabled' then
        update tocsin.channels set disabled_at = edited_at, disabled_why = data ->> 'why' where id = data ->> 'id';
    when 'channel.enabled' then
        update tocsin.channels set disabled_at = null, disabled_why = null where id = data ->> 'id';
    when 'channel.deleted', 'channel.expired' then
        delete from tocsin.channels where id = data ->> 'id';
    else
        raise exception 'unknown kind of event: %', kind using errcode = 'invalid_parameter_value';
    end case;
end
$$;

-- (The first event of an inbox makes its user known.)
create or replace function tocsin.apply_notification(stream text, seq bigint, kind text, notification bigint, data jsonb)
returns void language plpgsql as $$
begin
    case kind
    when 'notification.created' then
        insert into tocsin.notifications (id, user_id, seq, type, event, channels, silent)
        values (notification, substr(stream, 8), seq, data -> 'event' -> 'type' ->> 'name', data -> 'event',
                case when data ? 'channels' then tocsin.texts(data -> 'channels') end, data ? 'silent');
        if seq = 1 then
            perform tocsin.apply_inbox(stream, seq, 'inbox.opened', '{}');
        end if;
    when 'notification.readed' then
        update tocsin.notifications set readed = (data ->> 'readed')::timestamptz where id = notification;
    when 'notification.deleted' then
        delete from tocsin.notifications where id = notification;
    end case;
end
$$;

create or replace function tocsin.apply_inbox(stream text, seq bigint, kind text, data jsonb) returns void language plpgsql as $$
begin
    if kind = 'inbox.opened' then
        insert into tocsin.inboxes (user_id, seq) values (substr(stream, 8), 0) on conflict (user_id) do nothing;
    else
        insert into tocsin.inboxes (user_id, types, channels, seq)
        values (substr(stream, 8), tocsin.texts_or_null(data -> 'types'), tocsin.texts_or_null(data -> 'channels'), seq)
        on conflict (user_id) do update
            set types = excluded.types, channels = excluded.channels, seq = excluded.seq;
    end if;
end
$$;

create or replace function tocsin.apply_deferred(kind text, item bigint, data jsonb, edited_at timestamptz)
returns void language plpgsql as $$
begin
    if kind = 'deferred.created' then
        insert into tocsin.deferred (id, what, request, condition, author, due_at, created_at)
        values (item, data ->> 'what', data -> 'request', data -> 'condition', data ->> 'author',
                (data ->> 'due_at')::timestamptz, edited_at);
    else
        delete from tocsin.deferred where id = item;
    end if;
end
$$;
