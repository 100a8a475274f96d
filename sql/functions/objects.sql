-- Objects as the NMS API creates and deletes them.

-- Creates an object: in the folder `parent`, which must be there, or in the one at `at_path`, which is made if it is not;
-- in the root folder without either. An object without a Date gets the present one. `upload`: the bytes of its payload,
-- which are kept from now on.
create or replace function tocsin.create_object(of_stream text, parent bigint, at_path text, data jsonb, upload bigint)
returns table (made bigint, path text) language plpgsql as $$
begin
    parent := coalesce(tocsin.folder_at(of_stream, at_path, true), parent, 0);
    if parent <> 0 then
        data := data || jsonb_build_object('folder', parent);
    end if;
    if not exists (select from jsonb_object_keys(data -> 'attributes') as name where tocsin.fold(name) = 'date') then
        data := jsonb_set(data, '{attributes,Date}',
                          to_jsonb(to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')));
    end if;
    insert into tocsin.events as e (stream, kind, data) values (of_stream, 'object.created', create_object.data)
    returning e.object_id, coalesce(e.data ->> 'path', '') into made, path;
    if upload is not null then
        perform tocsin.keep_payload(upload, data -> 'payload' ->> 'hash', (data -> 'payload' ->> 'size')::bigint);
    end if;
    return next;
end
$$;

-- Ends an object; `how` is 'deleted' or 'expired'. The stream is locked first: of two who end it, one does. False when
-- there is none.
create or replace function tocsin.end_object(of_stream text, of_object bigint, how text) returns boolean language plpgsql as $$
begin
    perform from tocsin.streams where stream = of_stream for update;
    perform from tocsin.objects where id = of_object and store || '/' || box_id = of_stream and gone is null;
    if not found then
        return false;
    end if;
    insert into tocsin.events (stream, kind, object_id) values (of_stream, 'object.' || how, of_object);
    return true;
end
$$;
