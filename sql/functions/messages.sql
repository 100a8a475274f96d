-- The view tocsin.messages, written to: each row becomes an event of its box.

-- A new message as an event's data: an NMS object (RFC 3339 Date, pager-message) in the root folder. In SQL, so that it
-- becomes a part of the writer's statement. (jsonb_object of a text array: a third of the cost of jsonb_build_object)
create or replace function tocsin.message_data(box_id text, sender text, recipient text, body text, direction text)
returns jsonb language sql stable
return jsonb_build_object('attributes', jsonb_object(array[
    'From', sender, 'To', recipient, 'TextContent', body,
    'Direction', coalesce(direction, case when sender = box_id then 'Out' else 'In' end),
    'Date', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'Message-Context', 'pager-message']));

-- Refuses attributes that would make an object look like what is told of a watched table.
create or replace function tocsin.check_event_kind(attributes jsonb) returns void language plpgsql as $$
begin
    if exists (select from jsonb_each(attributes) where tocsin.fold(key) = tocsin.fold('Event-Kind') and value::text ~ '"(row|table)\.') then
        raise exception 'only watched tables tell of their rows' using errcode = 'invalid_parameter_value';
    end if;
end
$$;

-- The same for one that lacks a column, or brings more than the usual ones. Its own attributes win over those made of
-- columns. With the rights of its owner, since it makes folders.
create or replace function tocsin.unusual_message(
    store text, box_id text, id bigint, sender text, recipient text, body text, direction text, flags text[],
    attributes jsonb, folder text, correlation_id text, correlation_tag text)
returns jsonb language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    if box_id is null then
        raise exception 'box_id is required' using errcode = 'not_null_violation', column = 'box_id';
    end if;
    if id is not null then
        raise exception 'the id of a message is chosen by the log' using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(attributes) <> 'object' then
        raise exception 'attributes must be a JSON object of names and values' using errcode = 'invalid_parameter_value';
    end if;
    perform tocsin.check_event_kind(attributes);
    return jsonb_build_object('attributes',
            jsonb_strip_nulls(tocsin.message_data(box_id, sender, recipient, body, direction) -> 'attributes')
            || coalesce(attributes, '{}'))
        || jsonb_strip_nulls(jsonb_build_object(
            'folder', nullif(tocsin.folder_at(coalesce(store, 'default') || '/' || box_id, folder, true), 0),
            'flags', nullif(to_jsonb(tocsin.flags_with('{}', flags)), '[]'),
            'correlationId', correlation_id, 'correlationTag', correlation_tag));
end
$$;

-- For COPY, to which rules do not apply. (INSERT never comes here.)
create or replace function tocsin.messages_insert() returns trigger language plpgsql as $$
begin
    insert into tocsin.messages select new.*;
    return new;
end
$$;

-- Only what the statement changed is asked for, so that two writers who change different things both succeed. As when one is
-- deleted, with the rights of the owner: the writer has them on the view.
create or replace function tocsin.messages_update() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
declare
    changed jsonb := '{}';
begin
    if (new.id, new.store, new.box_id, new.correlation_id, new.correlation_tag, new.created_at, new.edited_at, new.seq)
        is distinct from
       (old.id, old.store, old.box_id, old.correlation_id, old.correlation_tag, old.created_at, old.edited_at, old.seq) then
        raise exception 'of a message only sender, recipient, body, direction, flags, attributes and folder can be changed'
            using errcode = 'feature_not_supported';
    end if;
    if new.sender is distinct from old.sender then
        changed := changed || jsonb_build_object('From', new.sender);
    end if;
    if new.recipient is distinct from old.recipient then
        changed := changed || jsonb_build_object('To', new.recipient);
    end if;
    if new.body is distinct from old.body then
        changed := changed || jsonb_build_object('TextContent', new.body);
    end if;
    if new.direction is distinct from old.direction then
        changed := changed || jsonb_build_object('Direction', new.direction);
    end if;
    if new.attributes is distinct from old.attributes then
        changed := changed
            || (select coalesce(jsonb_object_agg(key, null), '{}') from jsonb_object_keys(old.attributes) as key
                where not new.attributes ? key)
            || (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(new.attributes)
                where value is distinct from old.attributes -> key);
        perform tocsin.check_event_kind(changed);
    end if;
    perform tocsin.change_object(new.store || '/' || new.box_id, new.id, jsonb_strip_nulls(jsonb_build_object(
        'addFlags', to_jsonb(nullif(tocsin.flags_without(new.flags, old.flags), '{}')),
        'removeFlags', to_jsonb(nullif(tocsin.flags_without(old.flags, new.flags), '{}')),
        'folder', case when new.folder <> old.folder
                       then tocsin.folder_at(new.store || '/' || new.box_id, new.folder, true) end))
        || case when changed = '{}' then '{}' else jsonb_build_object('attributes', changed) end);
    -- What it has become, with what others changed while we waited; no row, if somebody else deleted it.
    select * into new from tocsin.messages as m where m.id = old.id;
    if not found then
        return null;
    end if;
    return new;
end
$$;

create or replace function tocsin.messages_delete() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not tocsin.end_object(old.store || '/' || old.box_id, old.id, 'deleted') then
        return null; -- somebody else deleted it while we waited
    end if;
    return old;
end
$$;
