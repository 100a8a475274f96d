-- Inboxes: an event that happened once becomes a notification in the stream `$inbox/user` of each user in its audience.

-- Declares a type of events, or gives it other texts.
create or replace function tocsin.declare_event_type(name text, title text, description text default '') returns integer
language plpgsql as $$
#variable_conflict use_column
begin
    if declare_event_type.name !~ '^[A-Za-z0-9_.:-]{1,100}$' then
        raise exception 'the name of an event type has 1 to 100 letters, digits and _ . : -'
            using errcode = 'invalid_parameter_value', column = 'name';
    end if;
    perform tocsin.check_text('title', title, 512), tocsin.check_text('description', description, 4096);
    insert into tocsin.event_types as t (name, title, description)
    values (declare_event_type.name, declare_event_type.title, coalesce(declare_event_type.description, ''))
    on conflict (name) do update set title = excluded.title, description = excluded.description;
    return (select t.id from tocsin.event_types t where t.name = declare_event_type.name);
end
$$;

-- Declares a group of users, or gives it other members.
create or replace function tocsin.declare_group(group_name text, users text[]) returns bigint language plpgsql as $$
begin
    if group_name !~ '^[A-Za-z0-9_.:-]{1,100}$' then
        raise exception 'the name of a group has 1 to 100 letters, digits and _ . : -'
            using errcode = 'invalid_parameter_value', column = 'name';
    end if;
    if coalesce(cardinality(users), 0) = 0 then
        raise exception 'a group has members' using errcode = 'invalid_parameter_value', column = 'users';
    end if;
    perform tocsin.check_stream_name('$inbox/' || u) from unnest(users) as u;
    delete from tocsin.groups g where g.name = group_name and g.user_id <> all (users);
    insert into tocsin.groups (name, user_id) select distinct group_name, u from unnest(users) as u
    on conflict do nothing;
    return (select count(*) from tocsin.groups g where g.name = group_name);
end
$$;

create or replace function tocsin.check_text(part text, value text, most integer) returns void language plpgsql as $$
begin
    if length(value) > most then
        raise exception '% has more than % characters', part, most
            using errcode = 'invalid_parameter_value', column = part;
    end if;
end
$$;

-- A declared type as events carry it.
create or replace function tocsin.event_type(type_name text) returns jsonb language plpgsql stable as $$
declare
    declared tocsin.event_types;
begin
    select * into declared from tocsin.event_types t where t.name = type_name;
    if not found then
        raise exception 'no event type %', coalesce(type_name, 'null')
            using errcode = 'invalid_parameter_value', column = 'type',
                  detail = (select string_agg(t.name, ', ' order by t.name) from tocsin.event_types t);
    end if;
    return jsonb_build_object('id', declared.id, 'name', declared.name, 'title', declared.title,
                              'description', declared.description);
end
$$;

-- Something happened: tells all its audience, in one transaction. Answers the event's id, or, when it is for later
-- (deferred.sql), the id by which it waits; its owner, or else its author, can cancel it. With the rights of the schema's owner:
-- who may call it needs no other.
create or replace function tocsin.publish(
    type text, title text, message text default '', data jsonb default null, author text default null,
    users text[] default null, to_group text default null, everybody boolean default false,
    channels text[] default null, silent boolean default false,
    deliver_at timestamptz default null, condition jsonb default null, owner text default null)
returns bigint language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    of_type  jsonb := tocsin.event_type(type);
    event_id bigint;
begin
    perform tocsin.check_text('title', title, 512), tocsin.check_text('message', message, 4096),
            tocsin.check_text('author', author, 255), tocsin.check_text('data', data::text, 32768),
            tocsin.check_channels(channels), tocsin.check_audience(users, to_group, everybody);
    if title is null then
        raise exception 'an event has a title' using errcode = 'invalid_parameter_value', column = 'title';
    end if;
    if deliver_at is not null or condition is not null then
        return tocsin.defer('event', jsonb_strip_nulls(jsonb_build_object(
            'type', type, 'title', title, 'message', message, 'data', data, 'author', author, 'users', users,
            'group', to_group, 'everybody', everybody, 'channels', channels, 'silent', silent)),
            coalesce(deliver_at, now()), condition, coalesce(owner, author));
    end if;
    event_id := nextval('tocsin.object_ids');
    perform tocsin.notify_users(
        array(select u from tocsin.audience(users, to_group, everybody) as u),
        jsonb_build_object(
            'id', event_id, 'timestamp', tocsin.moment(clock_timestamp()), 'author', author, 'type', of_type,
            'title', title, 'message', coalesce(message, ''), 'data', data),
        channels, silent);
    return event_id;
end
$$;

-- Puts an event into inboxes, as a notification in each. In the order of their streams, so that two who do this do not
-- deadlock.
create or replace function tocsin.notify_users(users text[], event jsonb, channels text[], silent boolean)
returns void language sql as $$
    insert into tocsin.events (stream, kind, data)
    select '$inbox/' || u, 'notification.created',
           jsonb_build_object('event', event)
           || case when channels is null then '{}' else jsonb_build_object('channels', channels) end
           || case when silent then '{"silent": true}' else '{}'::jsonb end
    from unnest(users) as u
    order by ('$inbox/' || u) collate "C"
$$;

-- Whom an event is for, each once.
create or replace function tocsin.audience(users text[], to_group text, everybody boolean) returns setof text
language sql stable as $$
    select unnest(users)
    union
    select g.user_id from tocsin.groups g where g.name = to_group
    union
    select i.user_id from tocsin.inboxes i where everybody
$$;

create or replace function tocsin.check_audience(users text[], to_group text, everybody boolean) returns void
language plpgsql as $$
begin
    if coalesce(cardinality(users), 0) = 0 and to_group is null and not coalesce(everybody, false) then
        raise exception 'an event is for users, a group or everybody'
            using errcode = 'invalid_parameter_value', column = 'users';
    end if;
    if to_group is not null and not exists (select from tocsin.groups g where g.name = to_group) then
        raise exception 'no group %', to_group
            using errcode = 'invalid_parameter_value', column = 'group',
                  detail = (select coalesce(string_agg(distinct g.name, ', '), 'none is declared') from tocsin.groups g);
    end if;
end
$$;

-- The ways in which a notification can be delivered.
create or replace function tocsin.check_channels(channels text[]) returns void language plpgsql as $$
declare
    known text[] := '{websocket,webhook,push,email,console}';
begin
    if not channels <@ known then
        raise exception 'unknown delivery channel among %', channels
            using errcode = 'invalid_parameter_value', column = 'channels', detail = array_to_string(known, ', ');
    end if;
end
$$;

create or replace function tocsin.moment(at timestamptz) returns text language sql stable as $$
    select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The user is known from now on.
create or replace function tocsin.open_inbox(of_user text) returns void language sql as $$
    insert into tocsin.events (stream, kind)
    select '$inbox/' || of_user, 'inbox.opened'
    where not exists (select from tocsin.inboxes where user_id = of_user)
$$;

-- What the user wants from now on: types of events and ways of delivery; null: all.
create or replace function tocsin.prefer(of_user text, types text[], channels text[]) returns void language plpgsql as $$
begin
    perform tocsin.event_type(t) from unnest(types) as t;
    perform tocsin.check_channels(channels);
    insert into tocsin.events (stream, kind, data)
    values ('$inbox/' || of_user, 'inbox.preferred', jsonb_build_object('types', types, 'channels', channels));
end
$$;

-- Marks notifications of a user as read, all of them when no ids are given; answers those that were not.
create or replace function tocsin.read_notifications(of_user text, ids bigint[]) returns setof bigint language plpgsql as $$
begin
    -- Of two who read the same, one does: the other one sees then that it is read.
    perform from tocsin.streams where stream = '$inbox/' || of_user for update;
    return query
    insert into tocsin.events (stream, kind, object_id)
    select '$inbox/' || of_user, 'notification.readed', n.id from tocsin.notifications n
    where n.user_id = of_user and (ids is null or n.id = any (ids)) and n.readed is null
    order by n.id
    returning object_id;
end
$$;

-- Deletes a notification of a user; answers whether it was there.
create or replace function tocsin.delete_notification(of_user text, notification bigint) returns boolean language plpgsql as $$
begin
    perform from tocsin.streams where stream = '$inbox/' || of_user for update;
    insert into tocsin.events (stream, kind, object_id)
    select '$inbox/' || of_user, 'notification.deleted', n.id from tocsin.notifications n
    where n.user_id = of_user and n.id = notification;
    return found;
end
$$;

-- An event of an inbox, completed (completed.sql): what it was about, when it was read or deleted.
create or replace function tocsin.completed_notification(e tocsin.events) returns tocsin.events language plpgsql as $$
declare
    n tocsin.notifications;
begin
    if e.stream not like '$inbox/%' then
        raise exception 'kind % belongs in the stream of an inbox', e.kind using errcode = 'invalid_parameter_value';
    end if;
    if e.kind = 'notification.created' then
        if e.object_id is not null or jsonb_typeof(e.data -> 'event') is distinct from 'object' then
            raise exception 'a notification has an event, and its id is chosen by the log (see tocsin.publish)'
                using errcode = 'invalid_parameter_value';
        end if;
        e.object_id := nextval('tocsin.object_ids');
        return e;
    end if;
    if e.kind not in ('notification.readed', 'notification.deleted') then
        raise exception 'unknown kind of event: %', e.kind using errcode = 'invalid_parameter_value';
    end if;
    select * into n from tocsin.notifications where id = e.object_id and '$inbox/' || user_id = e.stream;
    if not found then
        raise exception 'no notification % in %', e.object_id, e.stream using errcode = 'no_data_found';
    end if;
    e.data := jsonb_strip_nulls(jsonb_build_object(
            'readed', tocsin.moment(case e.kind when 'notification.readed' then coalesce(n.readed, e.edited_at) else n.readed end),
            'channels', n.channels, 'silent', nullif(n.silent, false)))
        || jsonb_build_object('event', n.event);
    return e;
end
$$;
