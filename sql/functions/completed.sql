-- Completes an event that is being written: what the writer left out is filled in from the present state, which cannot
-- change under us, since the stream is locked. From then on the event says everything by itself: the projection, a
-- filter and a client's notification need nothing else, the last state before a deletion included.
create or replace function tocsin.completed(e tocsin.events) returns tocsin.events language plpgsql as $$
begin
    if e.stream like '$%' and e.kind ~ '^(object|folder|subscription|box)\.' then
        raise exception 'kind % does not belong in stream %', e.kind, e.stream using errcode = 'invalid_parameter_value';
    end if;
    case split_part(e.kind, '.', 1)
    when 'object' then
        return tocsin.completed_object(e);
    when 'folder' then
        return tocsin.completed_folder(e);
    when 'subscription' then
        if e.kind in ('subscription.created', 'subscription.repositioned') then
            -- Unless it says otherwise, delivery begins right after this very event.
            e.data := jsonb_build_object('from', e.seq, 'token', e.edited_at, 'index', 1, 'reset', false) || e.data;
        end if;
    when 'channel' then
        if e.stream not like '$channel/%' then
            raise exception 'kind % belongs in the stream of a channel', e.kind using errcode = 'invalid_parameter_value';
        end if;
        if e.kind = 'channel.notified'
           and (coalesce(e.data ->> 'format', '') not in ('JSON', 'XML') or jsonb_typeof(e.data -> 'body') is distinct from 'string') then
            raise exception 'a channel.notified has a format, JSON or XML, and the notification as text in body'
                using errcode = 'invalid_parameter_value';
        end if;
    when 'box' then
        if e.kind <> 'box.reset' then
            raise exception 'unknown kind of event: %', e.kind using errcode = 'invalid_parameter_value';
        end if;
    when 'notification' then
        return tocsin.completed_notification(e);
    when 'inbox' then
        if e.kind not in ('inbox.opened', 'inbox.preferred') or e.stream not like '$inbox/%' then
            raise exception 'kind % does not belong in stream %', e.kind, e.stream using errcode = 'invalid_parameter_value';
        end if;
    when 'room' then
        if e.kind <> 'room.published' or e.stream not like '$room/%' then
            raise exception 'kind % does not belong in stream %', e.kind, e.stream using errcode = 'invalid_parameter_value';
        end if;
        e.object_id := nextval('tocsin.object_ids');
    when 'deferred' then
        if e.kind not in ('deferred.created', 'deferred.released', 'deferred.refused', 'deferred.cancelled')
           or e.stream is distinct from '$deferred/' || e.object_id then
            raise exception 'kind % does not belong in stream %', e.kind, e.stream using errcode = 'invalid_parameter_value';
        end if;
    else
        if e.stream like '$%' then
            raise exception 'kind % does not belong in stream %', e.kind, e.stream using errcode = 'invalid_parameter_value';
        end if;
        -- An application's own event is an object of its box, with its members as attributes.
        e.object_id := nextval('tocsin.object_ids');
        e.data := jsonb_build_object('attributes',
            case when e.kind like 'row.%' and jsonb_typeof(e.data) = 'object' then e.data -- columns that are NULL (watch.sql)
                 else jsonb_strip_nulls(case jsonb_typeof(e.data) when 'object' then e.data
                                        else jsonb_build_object('data', e.data) end) end
            || jsonb_build_object('Event-Kind', e.kind));
    end case;
    return e;
end
$$;

create or replace function tocsin.completed_object(e tocsin.events) returns tocsin.events language plpgsql as $$
declare
    o tocsin.objects;
begin
    case e.kind
    when 'object.created' then
        if e.object_id is not null then
            raise exception 'the id of a new object is chosen by the log' using errcode = 'invalid_parameter_value';
        end if;
        e.object_id := nextval('tocsin.object_ids');
        e.data := (e.data - '{path,storedAt}'::text[]) -- these we know better
            || jsonb_build_object('attributes', coalesce(nullif(e.data -> 'attributes', 'null'), '{}'));
        if jsonb_typeof(e.data -> 'attributes') <> 'object' then
            raise exception 'attributes must be a JSON object of names and values' using errcode = 'invalid_parameter_value';
        end if;
        if e.data ? 'flags' then
            e.data := e.data || jsonb_build_object('flags', tocsin.flags_with('{}', tocsin.texts(e.data -> 'flags')));
        end if;
        if e.data ? 'folder' then
            e.data := (e.data - 'folder') || tocsin.place(e.stream, (e.data ->> 'folder')::bigint);
        end if;
    when 'object.changed', 'object.deleted', 'object.expired' then
        select * into o from tocsin.objects
        where id = e.object_id and store || '/' || box_id = e.stream and gone is null;
        if not found then
            raise exception 'no object % in %', e.object_id, e.stream using errcode = 'no_data_found';
        end if;
        if e.kind = 'object.changed' then
            o := tocsin.patched(o, e.data);
        end if;
        e.data := tocsin.object_state(o) || tocsin.place(e.stream, o.folder_id)
            || jsonb_build_object('storedAt', o.created_at);
    else
        raise exception 'unknown kind of event: %', e.kind using errcode = 'invalid_parameter_value';
    end case;
    return e;
end
$$;

-- The whole state of an object but for its place, as events carry it: what is left out is no flags, no payload.
create or replace function tocsin.object_state(o tocsin.objects) returns jsonb language sql stable as $$
    select jsonb_strip_nulls(jsonb_build_object(
            'correlationId', o.correlation_id,
            'correlationTag', o.correlation_tag,
            'payload', o.payload,
            'flags', nullif(to_jsonb(o.flags), '[]')))
        || jsonb_build_object('attributes', o.attributes)
$$;

-- The folder an object is in, as events carry it: its id and its path at the time; nothing for the root folder.
create or replace function tocsin.place(stream text, folder bigint) returns jsonb language plpgsql stable as $$
begin
    if coalesce(folder, 0) = 0 then
        return '{}';
    end if;
    perform tocsin.check_folder(stream, folder);
    return jsonb_build_object('folder', folder, 'path', tocsin.folder_path(folder));
end
$$;

-- An object with a change applied: `attributes` are merged by name (null removes one), `flags` replaces the set,
-- `addFlags` and `removeFlags` change it, `folder`, an id, moves it.
create or replace function tocsin.patched(o tocsin.objects, patch jsonb) returns tocsin.objects language plpgsql as $$
declare
    given text[];
begin
    if patch ? 'attributes' then
        select coalesce(jsonb_object_agg(name, value), '{}') into o.attributes from (
            select key as name, value from jsonb_each(o.attributes)
            where not exists (select from jsonb_object_keys(patch -> 'attributes') as k where tocsin.fold(k) = tocsin.fold(key))
            union all
            select key, value from jsonb_each(patch -> 'attributes') where value <> 'null') as merged;
    end if;
    if patch ? 'flags' then
        given := tocsin.texts(patch -> 'flags');
        o.flags := tocsin.flags_with(tocsin.flags_without(o.flags, tocsin.flags_without(o.flags, given)), given);
    end if;
    if patch ? 'addFlags' then
        o.flags := tocsin.flags_with(o.flags, tocsin.texts(patch -> 'addFlags'));
    end if;
    if patch ? 'removeFlags' then
        o.flags := tocsin.flags_without(o.flags, tocsin.texts(patch -> 'removeFlags'));
    end if;
    o.folder_id := coalesce((patch ->> 'folder')::bigint, o.folder_id);
    return o;
end
$$;

create or replace function tocsin.texts(given jsonb) returns text[] language sql stable
return array(select jsonb_array_elements_text(given));

-- Flags are a set of names compared without case; the spelling first stored stays.
create or replace function tocsin.flags_with(flags text[], added text[]) returns text[] language sql stable as $$
    select coalesce(array_agg(flag order by n), '{}') from (
        select distinct on (tocsin.fold(flag)) flag, n
        from unnest(flags || added) with ordinality as f (flag, n) order by tocsin.fold(flag), n) as first
$$;

create or replace function tocsin.flags_without(flags text[], removed text[]) returns text[] language sql stable as $$
    select coalesce(array_agg(flag order by n), '{}')
    from unnest(flags) with ordinality as f (flag, n)
    where not exists (select from unnest(removed) as r where tocsin.fold(r) = tocsin.fold(flag))
$$;

-- Null for null.
create or replace function tocsin.texts_or_null(given jsonb) returns text[] language sql stable as $$
    select case when jsonb_typeof(given) = 'array' then tocsin.texts(given) end
$$;
