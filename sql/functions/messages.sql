-- The view tocsin.messages, written to: each row becomes an event of its box.

-- A new message is an NMS object (RFC 3339 Date, pager-message) in the root folder.
create or replace function tocsin.messages_insert() returns trigger language plpgsql as $$
declare
    -- (jsonb_object of a text array: a third of the cost of jsonb_build_object)
    message jsonb := jsonb_object(array[
        'From', new.sender, 'To', new.recipient, 'TextContent', new.body,
        'Direction', coalesce(new.direction, case when new.sender = new.box_id then 'Out' else 'In' end),
        'Date', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'Message-Context', 'pager-message']);
begin
    if (new.box_id, new.sender, new.recipient, new.body) is not null
       and (new.id, new.attributes, new.flags, new.folder, new.correlation_id, new.correlation_tag) is null then
        message := jsonb_build_object('attributes', message);
    else
        message := tocsin.unusual_message(message, new);
    end if;
    insert into tocsin.events (stream, kind, data)
    values (coalesce(new.store, 'default') || '/' || new.box_id, 'object.created', message)
    returning object_id, seq, edited_at into new.id, new.seq, new.edited_at;
    return new;
end
$$;

-- A message that lacks a column, or brings more than the usual ones. Its own attributes win over those made of columns.
create or replace function tocsin.unusual_message(attributes jsonb, m tocsin.messages) returns jsonb language plpgsql as $$
begin
    if m.box_id is null then
        raise exception 'box_id is required' using errcode = 'not_null_violation', column = 'box_id';
    end if;
    if m.id is not null then
        raise exception 'the id of a message is chosen by the log' using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(m.attributes) <> 'object' then
        raise exception 'attributes must be a JSON object of names and values' using errcode = 'invalid_parameter_value';
    end if;
    return jsonb_build_object('attributes', jsonb_strip_nulls(attributes) || coalesce(m.attributes, '{}'))
        || jsonb_strip_nulls(jsonb_build_object(
            'folder', nullif(tocsin.folder_at(coalesce(m.store, 'default') || '/' || m.box_id, m.folder, true), 0), 'flags', nullif(to_jsonb(tocsin.flags_with('{}', m.flags)), '[]'),
            'correlationId', m.correlation_id, 'correlationTag', m.correlation_tag));
end
$$;

-- Only what the statement changed is asked for, so that two writers who change different things both succeed.
create or replace function tocsin.messages_update() returns trigger language plpgsql as $$
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

create or replace function tocsin.messages_delete() returns trigger language plpgsql as $$
begin
    if not tocsin.end_object(old.store || '/' || old.box_id, old.id, 'deleted') then
        return null; -- somebody else deleted it while we waited
    end if;
    return old;
end
$$;

-- Changes an object if the change has an effect, and says whether it had: a no-op makes no event. The stream is
-- locked first, so that what is compared is what is changed.
create or replace function tocsin.change_object(of_stream text, of_object bigint, patch jsonb) returns boolean language plpgsql as $$
declare
    before tocsin.objects;
begin
    perform from tocsin.streams where stream = of_stream for update;
    select * into before from tocsin.objects where id = of_object and gone is null;
    if not found or tocsin.object_state(tocsin.patched(before, patch)) = tocsin.object_state(before) then
        return false;
    end if;
    insert into tocsin.events (stream, kind, object_id, data) values (of_stream, 'object.changed', of_object, patch);
    return true;
end
$$;
