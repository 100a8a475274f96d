-- Deferred: an event, a room's message or an enabler's notification that is held until its time, then released exactly
-- once by whichever node is up. Each has a stream of its own, `$deferred/id`: created, then released, refused (and why) or
-- cancelled; whatever ends it and what it brings are one transaction.

-- Holds something until `due_at`; answers the id by which it waits.
create or replace function tocsin.defer(what text, request jsonb, due_at timestamptz, condition jsonb, author text)
returns bigint language plpgsql as $$
declare
    id bigint := nextval('tocsin.object_ids');
begin
    if due_at is null or due_at > now() + interval '10 years' then
        raise exception 'nothing is held for more than ten years'
            using errcode = 'invalid_parameter_value', column = 'deliver_at';
    end if;
    perform tocsin.check_condition(condition);
    insert into tocsin.events (stream, kind, object_id, data)
    values ('$deferred/' || id, 'deferred.created', id,
            jsonb_strip_nulls(jsonb_build_object('what', what, 'due_at', tocsin.moment(due_at), 'author', author))
            || jsonb_build_object('request', request)
            || case when condition is null then '{}' else jsonb_build_object('condition', condition) end);
    return id;
end
$$;

-- Cancels what still waits; answers whether it did. `of_author`: only if it is theirs.
create or replace function tocsin.cancel_deferred(deferred bigint, of_author text default null) returns boolean
language plpgsql as $$
begin
    perform from tocsin.deferred d
    where d.id = deferred and (of_author is null or d.author = of_author) for update;
    if not found then
        return false;
    end if;
    insert into tocsin.events (stream, kind, object_id) values ('$deferred/' || deferred, 'deferred.cancelled', deferred);
    return true;
end
$$;

-- Releases the one that has been due for longest and that nobody else releases at this moment. One a transaction: two
-- with the same audiences must not wait for each other. What cannot be released is refused, and the log says why. `held`:
-- what it is for is locked by somebody; others need not wait for that, if the caller leaves it out for a while.
create or replace function tocsin.release_deferred(
    leave bigint[] default '{}', out released bigint, out held bigint, out seconds_to_next double precision)
language plpgsql as $$
declare
    it  tocsin.deferred;
    why text;
begin
    select * into it from tocsin.deferred d where d.due_at <= now() and d.id <> all (leave)
    order by d.due_at, d.id limit 1 for update skip locked;
    if found then
        released := it.id;
        begin
            why := tocsin.why_not(it.condition, it.request);
            if why is null then
                insert into tocsin.events (stream, kind, object_id, data)
                values ('$deferred/' || it.id, 'deferred.released', it.id,
                        jsonb_build_object('result', tocsin.release(it.what, it.request)));
            end if;
        exception
            when lock_not_available or deadlock_detected or query_canceled then
                released := null;
                held := it.id;
            when serialization_failure then
                raise; -- it is not at fault: again
            when others then
                why := sqlerrm;
        end;
        if why is not null then
            insert into tocsin.events (stream, kind, object_id, data)
            values ('$deferred/' || it.id, 'deferred.refused', it.id, jsonb_build_object('why', why));
        end if;
    end if;
    select extract(epoch from min(d.due_at) - now()) into seconds_to_next from tocsin.deferred d;
end
$$;

-- Does what was held; answers what came of it.
create or replace function tocsin.release(what text, request jsonb) returns jsonb language plpgsql as $$
declare
    r       jsonb := request;
    outcome text;
begin
    case what
    when 'event' then
        return to_jsonb(tocsin.publish(
            r ->> 'type', r ->> 'title', r ->> 'message', r -> 'data', r ->> 'author', tocsin.texts_or_null(r -> 'users'),
            r ->> 'group', coalesce((r ->> 'everybody')::boolean, false), tocsin.texts_or_null(r -> 'channels'),
            coalesce((r ->> 'silent')::boolean, false)));
    when 'room' then
        return to_jsonb(tocsin.publish_to_room(
            r ->> 'room', r ->> 'source', r ->> 'source_display_name', r ->> 'category', r ->> 'action', r ->> 'obj',
            r ->> 'url', r ->> 'short_description', coalesce((r ->> 'silent')::boolean, false), r -> 'extra_data',
            r ->> 'author', tocsin.texts_or_null(r -> 'recipients'), tocsin.texts_or_null(r -> 'channels')));
    when 'callback' then
        outcome := tocsin.take_callback(
            r ->> 'channel', r ->> 'format', r ->> 'body', r ->> 'key', (r ->> 'most')::bigint);
        if outcome in ('gone', 'full') then
            raise exception '%', case outcome when 'gone' then 'the channel is no more' else 'too much waits for the client' end;
        end if;
        return to_jsonb(outcome);
    end case;
end
$$;

-- Refuses a condition that could never be checked.
create or replace function tocsin.check_condition(condition jsonb) returns void language plpgsql as $$
declare
    wants text[];
begin
    if condition is null then
        return;
    end if;
    wants := case condition ->> 'type'
        when 'unread' then '{notification}' when 'lacksFlag' then '{box,object,flag}' when 'exists' then '{box,object}'
        when 'function' then '{name}' end::text[];
    if wants is null then
        raise exception 'unknown type of condition: %', condition -> 'type'
            using errcode = 'invalid_parameter_value', column = 'condition.type',
                  detail = 'unread, lacksFlag, exists, function';
    end if;
    if not condition ?& wants then
        raise exception 'a condition of type % has %', condition ->> 'type', array_to_string(wants, ', ')
            using errcode = 'invalid_parameter_value', column = 'condition';
    end if;
    if exists (select from jsonb_each(condition) as member (name, value)
               where name in ('notification', 'object') and value::text !~ '^[0-9]{1,18}$') then
        raise exception 'objects and notifications are named by their numbers'
            using errcode = 'invalid_parameter_value', column = 'condition';
    end if;
    if condition ->> 'type' = 'function' and tocsin.condition_function(condition ->> 'name') is null then
        raise exception 'no function tocsin_conditions.%(text, bigint, jsonb) that returns boolean', condition ->> 'name'
            using errcode = 'invalid_parameter_value', column = 'condition.name';
    end if;
end
$$;

create or replace function tocsin.condition_function(name text) returns regprocedure language sql stable as $$
    select p.oid::regprocedure from pg_proc p
    where p.pronamespace = 'tocsin_conditions'::regnamespace and p.proname = name
      and p.prorettype = 'boolean'::regtype and p.proargtypes = '25 20 3802'::oidvector -- text, bigint, jsonb
$$;

-- Why a condition does not hold; null when it does.
create or replace function tocsin.why_not(condition jsonb, request jsonb) returns text language plpgsql as $$
declare
    box_name text := coalesce(condition ->> 'store', 'default') || '/' || (condition ->> 'box');
    item     tocsin.objects;
    holds    boolean;
begin
    if condition is null then
        return null;
    end if;
    case condition ->> 'type'
    when 'unread' then
        return case when not exists (select from tocsin.notifications n where n.id = (condition -> 'notification')::bigint
                                     and n.readed is null)
               then format('notification %s is not unread any more', condition -> 'notification') end;
    when 'lacksFlag', 'exists' then
        select * into item from tocsin.objects o
        where o.id = (condition -> 'object')::bigint and o.store || '/' || o.box_id = box_name and o.gone is null;
        if not found then
            return format('object %s of %s does not exist', condition -> 'object', box_name);
        end if;
        return case when condition ->> 'type' = 'lacksFlag'
                         and tocsin.flags_without(item.flags, array[condition ->> 'flag']) <> item.flags
               then format('object %s of %s has the flag %s', condition -> 'object', box_name, condition ->> 'flag') end;
    when 'function' then
        if tocsin.condition_function(condition ->> 'name') is null then
            return format('there is no function tocsin_conditions.%s any more', condition ->> 'name');
        end if;
        execute format('select tocsin_conditions.%I($1, $2, $3)', condition ->> 'name')
        into holds using condition ->> 'box', (condition ->> 'object')::bigint, request;
        return case when holds is distinct from true then format('%s says no', condition ->> 'name') end;
    end case;
end
$$;

-- Holds a notification for a channel; it is the channel's owner who can cancel it. Null when the channel does not live.
create or replace function tocsin.defer_callback(
    channel text, format text, body text, key text, most bigint, due_at timestamptz, condition jsonb)
returns bigint language plpgsql as $$
declare
    owner text;
begin
    select c.user_id into owner
    from tocsin.channels c join tocsin.channel_lifetimes l on l.channel_id = c.id
    where c.id = channel and l.expires_at > now();
    if not found then
        return null;
    end if;
    return tocsin.defer('callback', jsonb_strip_nulls(jsonb_build_object(
        'channel', channel, 'format', format, 'body', body, 'key', key, 'most', most)), due_at, condition, owner);
end
$$;
