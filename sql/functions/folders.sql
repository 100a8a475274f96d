-- Folders: a tree in each box, below the root folder, whose id is 0 in every box.

-- Makes every other writer of the box wait until we end, also while the box has no event yet.
create or replace function tocsin.lock_box(of_stream text) returns void language plpgsql as $$
begin
    perform from tocsin.streams where stream = of_stream for update;
    if not found then
        perform pg_advisory_xact_lock(hashtextextended(of_stream, 0));
        perform from tocsin.streams where stream = of_stream for update;
    end if;
end
$$;

-- Refuses what is not a living folder of the box.
create or replace function tocsin.check_folder(of_stream text, folder bigint) returns void language plpgsql stable as $$
begin
    if folder <> 0 then
        perform from tocsin.folders
        where id = folder and store || '/' || box_id = of_stream and gone is null;
        if not found then
            raise exception 'no folder % in %', folder, of_stream using errcode = 'no_data_found';
        end if;
    end if;
end
$$;

-- Completes an event about a folder; the box is locked. From then on it carries the folder's whole state after it
-- (before it, for a deletion), and its path at the time.
create or replace function tocsin.completed_folder(e tocsin.events) returns tocsin.events language plpgsql as $$
declare
    f    tocsin.folders;
    made boolean := e.kind = 'folder.created';
begin
    if e.kind not in ('folder.created', 'folder.changed', 'folder.deleted', 'folder.expired') then
        raise exception 'unknown kind of event: %', e.kind using errcode = 'invalid_parameter_value';
    end if;
    if made then
        if e.object_id is not null then
            raise exception 'the id of a new folder is chosen by the log' using errcode = 'invalid_parameter_value';
        end if;
        e.object_id := nextval('tocsin.object_ids');
        f.attributes := coalesce(nullif(e.data -> 'attributes', 'null'), '{}');
        f.parent_id := 0;
    else
        select * into f from tocsin.folders
        where id = e.object_id and store || '/' || box_id = e.stream and gone is null;
        if not found then
            raise exception 'no folder % in %', e.object_id, e.stream using errcode = 'no_data_found';
        end if;
    end if;
    if jsonb_typeof(f.attributes) <> 'object' then
        raise exception 'attributes must be a JSON object of names and values' using errcode = 'invalid_parameter_value';
    end if;
    if made or e.kind = 'folder.changed' then
        f.name := coalesce(e.data ->> 'name', f.name);
        f.parent_id := coalesce((e.data ->> 'parent')::bigint, f.parent_id);
        perform tocsin.check_place(e.stream, e.object_id, f.parent_id, f.name);
    elsif exists (select from tocsin.folders where parent_id = e.object_id and store = f.store and box_id = f.box_id and gone is null)
       or exists (select from tocsin.objects where folder_id = e.object_id and folder_id <> 0 and gone is null) then
        raise exception 'folder % is not empty', e.object_id using errcode = 'dependent_objects_still_exist';
    end if;
    e.data := jsonb_build_object('name', f.name, 'attributes', f.attributes,
                                 'path', tocsin.folder_path(f.parent_id) || '/' || f.name)
        || case f.parent_id when 0 then '{}' else jsonb_build_object('parent', f.parent_id) end
        || case when made then '{}' else jsonb_build_object('storedAt', f.created_at) end;
    return e;
end
$$;

-- Refuses a place a folder cannot have: a name that could not stand in a path, a parent that is not there or is
-- below the folder itself, a name that a sibling has.
create or replace function tocsin.check_place(of_stream text, folder bigint, parent bigint, new_name text)
returns void language plpgsql as $$
begin
    if coalesce(new_name, '') = '' or new_name ~ '[/[:cntrl:]]' or length(new_name) > 255 then
        raise exception 'not a name of a folder: %', left(new_name, 300)
            using errcode = 'invalid_parameter_value',
                  hint = 'A name has 1 to 255 characters without slash or control characters.';
    end if;
    perform tocsin.check_folder(of_stream, parent);
    if tocsin.is_below(parent, folder) then
        raise exception 'folder % cannot be moved below itself', folder using errcode = 'invalid_parameter_value';
    end if;
    if tocsin.subfolder(of_stream, parent, new_name) <> folder then
        raise exception 'there is a folder % already', new_name using errcode = 'duplicate_object';
    end if;
end
$$;

-- Whether a living folder is `top` or somewhere below it.
create or replace function tocsin.is_below(folder bigint, top bigint) returns boolean language plpgsql stable as $$
begin
    while folder <> 0 loop
        if folder = top then
            return true;
        end if;
        select parent_id into strict folder from tocsin.folders where id = folder;
    end loop;
    return false;
end
$$;

-- The living folder of a name among those in `parent`, if there is one.
create or replace function tocsin.subfolder(of_stream text, parent bigint, its_name text) returns bigint
language sql stable as $$
    select id from tocsin.folders
    where store = split_part(of_stream, '/', 1) and box_id = split_part(of_stream, '/', 2)
      and parent_id = parent and name = its_name and gone is null
$$;

-- The folder at a path, a child of the root folder first: `/main/sent` or `main/sent`. One that is not there is made
-- when `make` says so, with those above it; otherwise null. Null when no path is given.
create or replace function tocsin.folder_at(of_stream text, path text, make boolean) returns bigint language plpgsql as $$
declare
    folder bigint := 0;
    above  bigint;
    part   text;
begin
    if path is null then
        return null;
    end if;
    path := ltrim(path, '/');
    if make and path <> '' then
        perform tocsin.lock_box(of_stream);
    end if;
    foreach part in array string_to_array(path, '/') loop
        above := folder;
        folder := tocsin.subfolder(of_stream, above, part);
        if folder is null then
            if not make then
                return null;
            end if;
            folder := tocsin.create_folder(of_stream, above, part, '{}');
        end if;
    end loop;
    return folder;
end
$$;

-- Makes a folder; without a name it gets one that no sibling has.
create or replace function tocsin.create_folder(of_stream text, parent bigint, new_name text, attributes jsonb)
returns bigint language plpgsql as $$
declare
    made bigint;
begin
    perform tocsin.lock_box(of_stream);
    insert into tocsin.events (stream, kind, data)
    values (of_stream, 'folder.created', jsonb_build_object(
        'name', coalesce(new_name, 'folder-' || replace(gen_random_uuid()::text, '-', '')),
        'parent', parent, 'attributes', attributes))
    returning object_id into made;
    return made;
end
$$;

-- Gives a folder another name. False when it has that name already, which makes no event; null when there is none.
create or replace function tocsin.rename_folder(of_stream text, folder bigint, new_name text) returns boolean
language plpgsql as $$
declare
    old_name text;
begin
    perform tocsin.lock_box(of_stream);
    select name into old_name from tocsin.folders
    where id = folder and store || '/' || box_id = of_stream and gone is null;
    if old_name <> new_name then
        insert into tocsin.events (stream, kind, object_id, data)
        values (of_stream, 'folder.changed', folder, jsonb_build_object('name', new_name));
    end if;
    return old_name <> new_name;
end
$$;

-- A folder and all folders below it, those further down later.
create or replace function tocsin.folder_tree(of_stream text, top bigint)
returns table (folder bigint, depth integer) language sql stable rows 20 as $$
    with recursive tree (folder, depth) as (
        select top, 0
        union all
        select f.id, t.depth + 1
        from tree t join tocsin.folders f
          on f.parent_id = t.folder and f.gone is null
         and f.store = split_part(of_stream, '/', 1) and f.box_id = split_part(of_stream, '/', 2))
    select folder, depth from tree order by depth
$$;

-- Ends a folder with everything in it, one event an item, what is further down first; `how` is 'deleted' or 'expired'.
-- False when there is none.
create or replace function tocsin.end_folder(of_stream text, top bigint, how text) returns boolean language plpgsql as $$
begin
    perform tocsin.lock_box(of_stream);
    perform from tocsin.folders where id = top and store || '/' || box_id = of_stream and gone is null;
    if not found then
        return false;
    end if;
    insert into tocsin.events (stream, kind, object_id)
    select of_stream, items.kind || how, items.id
    from (select 'object.' as kind, o.id, t.depth
          from tocsin.folder_tree(of_stream, top) t join tocsin.objects o on o.folder_id = t.folder and o.folder_id <> 0
          where o.gone is null
          union all
          select 'folder.', t.folder, t.depth from tocsin.folder_tree(of_stream, top) t) as items
    order by items.depth desc, items.kind desc, items.id; -- 'object.' before 'folder.'
    return true;
end
$$;

-- What is in a folder, with all that is below it if `whole`: how many objects, how many of them without \Seen, and
-- their bytes, those of the payload and of the text. Of the two halves only one is looked at.
create or replace function tocsin.folder_counts(of_stream text, top bigint, whole boolean)
returns table (objects bigint, unread bigint, bytes bigint) language sql stable as $$
    select count(*),
           count(*) filter (where not exists (select from unnest(i.flags) as flag where tocsin.fold(flag) = '\seen')),
           coalesce(sum(coalesce((i.payload ->> 'size')::bigint, 0)
                        + coalesce(octet_length(tocsin.first_value(i.attributes -> 'TextContent')), 0)), 0)::bigint
    from (select o.flags, o.payload, o.attributes
          from tocsin.objects o
          where top = 0 and o.store = split_part(of_stream, '/', 1) and o.box_id = split_part(of_stream, '/', 2)
            and (whole or o.folder_id = 0) and o.gone is null
          union all
          select o.flags, o.payload, o.attributes
          from (select top as folder where not whole
                union all
                select t.folder from tocsin.folder_tree(of_stream, top) t where whole) as f
               join tocsin.objects o on o.folder_id = f.folder and o.folder_id <> 0
          where top <> 0 and o.gone is null) as i
$$;
