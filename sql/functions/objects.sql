-- Creating, changing and ending objects. The box is locked first, so that what is compared is what is changed.

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

-- Applies a change (see tocsin.patched) if it has an effect, and says whether it had: a no-op makes no event. Null when
-- there is no such object in the box.
create or replace function tocsin.change_object(of_stream text, of_object bigint, patch jsonb) returns boolean language plpgsql as $$
declare
    before tocsin.objects;
    after  tocsin.objects;
begin
    perform from tocsin.streams where stream = of_stream for update;
    select * into before from tocsin.objects
    where id = of_object and store || '/' || box_id = of_stream and gone is null;
    if not found then
        return null;
    end if;
    after := tocsin.patched(before, patch);
    if after.folder_id = before.folder_id and tocsin.object_state(after) = tocsin.object_state(before) then
        return false;
    end if;
    insert into tocsin.events (stream, kind, object_id, data) values (of_stream, 'object.changed', of_object, patch);
    return true;
end
$$;

-- Changes many objects of a box: for each, in the order given, what change_object says.
create or replace function tocsin.change_objects(of_stream text, objects bigint[], patch jsonb)
returns table (changed boolean) language plpgsql as $$
declare
    object bigint;
begin
    foreach object in array objects loop
        changed := tocsin.change_object(of_stream, object, patch);
        return next;
    end loop;
end
$$;

-- Ends an object; `how` is 'deleted' or 'expired'. False when there is no such object in the box.
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

-- Ends many objects of a box: for each, in the order given, what end_object says.
create or replace function tocsin.end_objects(of_stream text, objects bigint[], how text)
returns table (ended boolean) language plpgsql as $$
declare
    object bigint;
begin
    foreach object in array objects loop
        ended := tocsin.end_object(of_stream, object, how);
        return next;
    end loop;
end
$$;

-- Expires objects that were stored longer ago than policy keeps them, a bounded number at a time; answers how many.
-- A box that a writer holds just now waits for the next time.
create or replace function tocsin.expire_objects(kept interval, most integer) returns integer language plpgsql as $$
declare
    expired integer := 0;
    it      record;
begin
    for it in
        select old.stream, array_agg(old.id order by old.id) as ids
        from (select store || '/' || box_id as stream, id from tocsin.objects
              where created_at < now() - kept and gone is null limit most) as old
        group by old.stream order by old.stream
    loop
        begin
            perform from tocsin.streams where stream = it.stream for update nowait;
            expired := expired + (select count(*) from tocsin.end_objects(it.stream, it.ids, 'expired') where ended);
        exception when lock_not_available then
            null;
        end;
    end loop;
    return expired;
end
$$;

-- Forgets tombstones that are older than they are kept, a bounded number at a time; answers how many. (What they say
-- stays in the log, from which subscriptions are served: only searches for what has vanished end with them.)
create or replace function tocsin.forget_tombstones(kept interval, most integer) returns bigint language sql as $$
    with objects as (
        delete from tocsin.objects
        where id = any (array(select id from tocsin.objects where gone is not null and edited_at < now() - kept limit most))
        returning 1),
    folders as (
        delete from tocsin.folders
        where id = any (array(select id from tocsin.folders where gone is not null and edited_at < now() - kept limit most))
        returning 1)
    select greatest((select count(*) from objects), (select count(*) from folders))
$$;
