-- Copying and moving items of a box into one of its folders, `target`: folders first, then objects, each in the order
-- they are named, every one seeing what those before it did. One that cannot be is refused and the others go on, so
-- everything is looked at before anything is written. `refused` is null when it went well, or
--   'source'  no such item in the box, the root folder, or one that would come below itself,
--   'taken'   a folder of its name is there already,
--   'much'    the request would create more than it may.
-- `item` is the item as it is in the target, `item_name` the name of a folder.

-- Moves items. One that is in the target already stays as it is, without an event.
create or replace function tocsin.move_items(of_stream text, target bigint, folders bigint[], objects bigint[])
returns table (refused text, item bigint, item_name text) language plpgsql as $$
declare
    f      tocsin.folders;
    living bigint[];
begin
    perform tocsin.lock_box(of_stream);
    perform tocsin.check_folder(of_stream, target);
    foreach item in array folders loop
        select * into f from tocsin.folders where id = item and store || '/' || box_id = of_stream and gone is null;
        item_name := f.name;
        refused := case when f.id is null or tocsin.is_below(target, item) then 'source'
                        when tocsin.subfolder(of_stream, target, f.name) <> item then 'taken' end;
        if refused is null and f.parent_id <> target then
            insert into tocsin.events (stream, kind, object_id, data)
            values (of_stream, 'folder.changed', item, jsonb_build_object('parent', target));
        end if;
        return next;
    end loop;
    living := tocsin.living_objects(of_stream, objects);
    insert into tocsin.events (stream, kind, object_id, data)
    select of_stream, 'object.changed', o.id, jsonb_build_object('folder', target)
    from (select id, min(n) as n from unnest(living) with ordinality as l (id, n) group by id) as named
         join tocsin.objects o on o.id = named.id
    where o.folder_id <> target
    order by named.n;
    item_name := null;
    foreach item in array objects loop
        refused := case when not item = any (living) then 'source' end;
        return next;
    end loop;
end
$$;

-- Copies items, folders with everything in them; at most `most` new ones in all.
create or replace function tocsin.copy_items(
    of_stream text, target bigint, folders bigint[], objects bigint[], most bigint)
returns table (refused text, item bigint, item_name text) language plpgsql as $$
declare
    f      tocsin.folders;
    source bigint;
    living bigint[];
    copies bigint[];
    size   bigint;
    n      integer := 1;
begin
    perform tocsin.lock_box(of_stream);
    perform tocsin.check_folder(of_stream, target);
    foreach source in array folders loop
        select * into f from tocsin.folders where id = source and store || '/' || box_id = of_stream and gone is null;
        item := null;
        item_name := f.name;
        size := tocsin.tree_size(of_stream, f.id);
        refused := case when f.id is null then 'source'
                        when tocsin.subfolder(of_stream, target, f.name) is not null then 'taken'
                        when size > most then 'much' end;
        if refused is null then
            item := tocsin.copy_folder(of_stream, f, target);
            most := most - size;
        end if;
        return next;
    end loop;
    living := tocsin.living_objects(of_stream, objects);
    with copied as (
        insert into tocsin.events (stream, kind, data)
        select of_stream, 'object.created', tocsin.object_state(o) || jsonb_build_object('folder', target)
        from unnest(living) with ordinality as l (id, n) join tocsin.objects o on o.id = l.id
        where l.n <= most
        order by l.n
        returning object_id, seq)
    select array_agg(object_id order by seq) into copies from copied;
    item_name := null;
    foreach source in array objects loop -- those that live are in `living` in the same order
        item := null;
        refused := 'source';
        if source = living[n] then
            item := copies[n];
            refused := case when item is null then 'much' end;
            n := n + 1;
        end if;
        return next;
    end loop;
end
$$;

-- Those of the objects that are in the box, in the same order, as often as they are named.
create or replace function tocsin.living_objects(of_stream text, objects bigint[]) returns bigint[]
language sql stable as $$
    select array(
        select o.id from unnest(objects) with ordinality as n (id, place) join tocsin.objects o on o.id = n.id
        where o.store || '/' || o.box_id = of_stream and o.gone is null
        order by n.place)
$$;

-- How many folders and objects a folder is, with all that is below it.
create or replace function tocsin.tree_size(of_stream text, top bigint) returns bigint language sql stable as $$
    select count(*) + coalesce(sum((select count(*) from tocsin.objects o
                                    where o.folder_id = t.folder and o.folder_id <> 0 and o.gone is null)), 0)::bigint
    from tocsin.folder_tree(of_stream, top) t
$$;

-- Copies a folder with everything in it, level by level, each folder before what is in it; answers the copy. What is
-- copied is what was there before: ids rise within a box, so the copies themselves are told by theirs, also where a
-- folder is copied into itself.
create or replace function tocsin.copy_folder(of_stream text, source tocsin.folders, target bigint) returns bigint
language plpgsql as $$
declare
    top  bigint := tocsin.create_folder(of_stream, target, source.name, source.attributes);
    olds bigint[] := array[source.id]; -- the folders of a level
    news bigint[] := array[top];       -- and their copies
begin
    while cardinality(olds) > 0 loop
        insert into tocsin.events (stream, kind, data)
        select of_stream, 'object.created', tocsin.object_state(o) || jsonb_build_object('folder', p.new)
        from unnest(olds, news) with ordinality as p (old, new, n)
             join tocsin.objects o on o.folder_id = p.old and o.folder_id <> 0
        where o.gone is null and o.id < top
        order by p.n, o.created_seq;

        insert into tocsin.events (stream, kind, data)
        select of_stream, 'folder.created',
               jsonb_build_object('name', f.name, 'parent', p.new, 'attributes', f.attributes)
        from unnest(olds, news) with ordinality as p (old, new, n) join tocsin.folders f on f.parent_id = p.old
        where f.store = source.store and f.box_id = source.box_id and f.gone is null and f.id < top
        order by p.n, f.created_seq;

        select array_agg(f.id order by g.id), array_agg(g.id order by g.id) into olds, news
        from unnest(olds, news) as p (old, new)
             join tocsin.folders f on f.parent_id = p.old
             join tocsin.folders g on g.parent_id = p.new and g.name = f.name
        where f.store = source.store and f.box_id = source.box_id and f.gone is null and f.id < top
          and g.store = source.store and g.box_id = source.box_id and g.gone is null and g.id >= top;
    end loop;
    return top;
end
$$;
