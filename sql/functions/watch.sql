-- Any table as a source: `tocsin.watch` attaches statement triggers to it, which write an event for each row that an
-- INSERT, UPDATE or DELETE really changed, in the writer's transaction.
--
-- A watched table belongs to its writers. Whatever becomes of it later (columns renamed, dropped or added, partitions
-- attached or detached), they go on; where rows cannot be told of any more, a WARNING says so to the writer and to the
-- server's log. Only what the log itself refuses (a race that was lost, a full disk) refuses the writer too: else an
-- event would be missing.

-- How a table is named in events and in URLs: `movies` in the schema public, `sales.orders` elsewhere.
create or replace function tocsin.table_name(relation regclass) returns text language sql stable as $$
    select case n.nspname when 'public' then '' else n.nspname || '.' end || c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation
$$;

-- The stream of the box that is written as `boxId` or `store/boxId`; null for what can be none.
create or replace function tocsin.box_stream(box text) returns text language sql immutable as $$
    select name
    from (values (case when strpos(box, '/') = 0 then 'default/' else '' end || box)) as stream (name)
    where name ~ '^[^/$[:cntrl:]][^/[:cntrl:]]*/[^/[:cntrl:]]+$'
      and length(split_part(name, '/', 1)) <= 255 and length(split_part(name, '/', 2)) <= 255
$$;

-- The columns that a watched table has now. `number` and `named` are what tocsin.watches knows of one: null, if it was
-- added later.
create or replace function tocsin.watched_columns(w tocsin.watches)
returns table (number smallint, name name, named text, type oid) language sql stable as $$
    select n.number, a.attname, n.named, a.atttypid
    from pg_attribute a
    left join (select key::smallint as number, value as named from jsonb_each_text(w.names)) n
      on case when w.relation::oid = w.made_for then n.number = a.attnum else n.named = a.attname end
    where a.attrelid = w.relation and a.attnum > 0 and not a.attisdropped
    order by a.attnum
$$;

-- Some of these columns, by their present names and in the order of the numbers; those that are gone are left out.
create or replace function tocsin.column_names(w tocsin.watches, numbers smallint[]) returns name[] language sql stable as $$
    select coalesce(array_agg(c.name order by array_position(numbers, c.number)), '{}')
    from tocsin.watched_columns(w) c where c.number = any (numbers)
$$;

-- Whether these columns tell the rows of a table apart, at any moment.
create or replace function tocsin.is_key(relation regclass, columns name[]) returns boolean language sql stable as $$
    select cardinality(columns) = (select count(*) from pg_attribute a
                                   where a.attrelid = relation and a.attname = any (columns) and a.attnotnull)
       and exists (
        select from pg_index i
        where i.indrelid = relation and i.indisunique and i.indisvalid and i.indimmediate
          and i.indpred is null and i.indexprs is null
          and (select bool_and(a.attname = any (columns))
               from unnest(i.indkey) with ordinality as k (number, place)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.number
               where k.place <= i.indnkeyatts))
$$;

-- Why the rows of a watched table cannot be told of; null when they can.
create or replace function tocsin.watch_fault(w tocsin.watches) returns text language sql stable as $$
    select case when cardinality(keys) < cardinality(w.key) then 'a column of its key is gone'
                when not tocsin.is_key(w.relation, keys) then 'its key is not unique and not null any more'
                when w.box is null and cardinality(tocsin.column_names(w, array[w.box_column])) = 0
                    then 'the column that names the boxes is gone' end
    from (values (tocsin.column_names(w, w.key))) as now (keys)
$$;

-- Whether JSON has a form of its own for the values of a type: for Postgres' own types, and domains over them. Others
-- are written as text, by their output function alone: what else their owners have made for them (casts) would be run
-- with the rights of tocsin.watched.
create or replace function tocsin.has_json_form(type oid) returns boolean language plpgsql stable as $$
declare
    t pg_type;
begin
    loop
        select * into t from pg_type where oid = type;
        type := case when t.typtype = 'd' then t.typbasetype
                     when t.typcategory = 'A' and t.typelem <> 0 then t.typelem end;
        exit when type is null;
    end loop;
    return t.typtype = 'b' and t.typnamespace = 'pg_catalog'::regnamespace;
end
$$;

-- What stands for a long text, since an event is bounded: it tells it apart. (SQL that is not what it says, immutable, does
-- not become a part of the statement that calls it, which would be the longer.)
create or replace function tocsin.long_text(value text) returns text language sql immutable as $$
    select octet_length(value) || ' bytes, SHA-256 ' || encode(sha256(convert_to(value, 'UTF8')), 'hex')
$$;

-- The expression of a column's value as an attribute: numbers, booleans, dates (ISO) and arrays as JSON has them, all
-- else as text.
create or replace function tocsin.attribute_value(name name, type oid) returns text language sql stable as $$
    select format(case
        when base.oid in ('text'::regtype, 'varchar'::regtype)
            then 'case when octet_length(t.%1$I) <= 100000 then t.%1$I else tocsin.long_text(t.%1$I) end'
        when not tocsin.has_json_form(type) or base.oid in ('json'::regtype, 'jsonb'::regtype, 'bytea'::regtype, 'xml'::regtype)
            then 'case when num_nulls(t.%1$I) > 0 then null when octet_length(format(''%%s'', t.%1$I)) <= 100000
                       then format(''%%s'', t.%1$I) else tocsin.long_text(format(''%%s'', t.%1$I)) end'
        when base.typlen = -1 and base.oid <> 'numeric'::regtype
            then 'case when octet_length(format(''%%s'', t.%1$I)) <= 100000
                       then to_jsonb(t.%1$I) else to_jsonb(tocsin.long_text(format(''%%s'', t.%1$I))) end'
        else 't.%1$I' end, name)
    from pg_type t join pg_type base on base.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
    where t.oid = type
$$;

-- The rows of `source` (a transition table, as a part of FROM) as the statement below joins them: which row, in which
-- box, what is told of it, and under their old names all columns that a condition may speak of.
create or replace function tocsin.watch_rows(w tocsin.watches, source text) returns text language plpgsql stable as $$
declare
    key    text;
    told   text;
    spoken text;
    stream text := quote_literal(w.box);
begin
    select string_agg(format('to_jsonb(%s)', tocsin.attribute_value(c.name, c.type)), ', '
                      order by array_position(w.key, c.number)) filter (where c.number = any (w.key)),
           string_agg(format('%s as %I', tocsin.attribute_value(c.name, c.type), c.name), ', ')
               filter (where w.columns is null or c.number = any (w.columns)),
           string_agg(format('t.%I as %I, ', c.name, c.named), '') filter (where c.named is not null)
    into key, told, spoken
    from tocsin.watched_columns(w) c;
    if cardinality(w.key) > 1 then
        key := format('jsonb_build_array(%s)', key);
    end if;
    if stream is null then
        stream := format('tocsin.box_stream(format(''%%s'', t.%I))', (tocsin.column_names(w, array[w.box_column]))[1]);
    end if;
    return format('select %s%s as "tocsin.stream", %s as "tocsin.key", %s as "tocsin.row" from %s as t%s',
        case when w.condition is not null then spoken end, stream, key,
        case when told is null then '''{}''::jsonb' else 'to_jsonb("tocsin.told".*)' end, source,
        case when told is not null then format(' cross join lateral (select %s) as "tocsin.told"', told) end);
end
$$;

-- The statement that tells of the rows that another one changed, from its transition tables, in the order of the boxes
-- (who writes into several takes them in that order: see README.md) and of the keys. A row that has another key or comes
-- into another box is gone from there and new here.
create or replace function tocsin.watch_statement(w tocsin.watches, operation text, condition text)
returns text language plpgsql stable as $$
declare
    new  text := format('(%s) as new', tocsin.watch_rows(
        w, case operation when 'delete' then '(select * from old_rows limit 0)' else 'new_rows' end));
    old  text := format('(%s) as old', tocsin.watch_rows(
        w, case operation when 'insert' then '(select * from new_rows limit 0)' else 'old_rows' end));
    rows text;
begin
    if operation = 'update' then
        rows := format($sql$
            select it.what, coalesce(new."tocsin.stream", old."tocsin.stream") as stream,
                   coalesce(new."tocsin.key", old."tocsin.key") as key,
                   coalesce(new."tocsin.row", old."tocsin.row") || case it.what when 'update' then
                       (select jsonb_object_agg('old.' || o.key, o.value) from jsonb_each(old."tocsin.row") as o
                        where o.value is distinct from new."tocsin.row" -> o.key) else '{}' end as data
            from %s full join %s on new."tocsin.key" = old."tocsin.key"%s
            cross join lateral (select case when old."tocsin.key" is null then 'insert'
                                            when new."tocsin.key" is null then 'delete' else 'update' end) as it (what)
            where new."tocsin.row" is distinct from old."tocsin.row"$sql$,
            new, old, case when w.box is null then ' and new."tocsin.stream" = old."tocsin.stream"' end);
    else
        rows := format(
            'select %L as what, %2$s."tocsin.stream" as stream, %2$s."tocsin.key" as key, %2$s."tocsin.row" as data from %3$s%4$s where true',
            operation, case operation when 'insert' then 'new' else 'old' end,
            case operation when 'insert' then new else old end,
            case when condition is not null then
                format(' left join %s on true', case operation when 'insert' then old else new end) end);
    end if;
    -- (What is in order is evaluated once, however often it is spoken of.)
    return format($sql$
        insert into tocsin.events (stream, kind, data)
        select r.stream, 'row.' || r.what || case r.what when 'insert' then 'ed' else 'd' end,
               jsonb_build_object('table', %L::text, 'operation', r.what, 'key', r.key)
                   || case when pg_column_size(r.data) <= 1000000 then r.data else '{"too-large": true}' end
        from (%s%s order by stream, key) as r
        where r.stream is not null$sql$,
        tocsin.table_name(w.relation), rows, ' and (' || condition || E'\n)');
end
$$;

-- The statements of a watch, as the table is now: those of its operations, with its condition and, should that fail,
-- without; or the fault for which nothing can be told.
create or replace function tocsin.watch_statements(w tocsin.watches) returns jsonb language plpgsql stable as $$
declare
    fault text := tocsin.watch_fault(w);
begin
    if fault is not null then
        return jsonb_build_object('fault', fault);
    end if;
    return (select jsonb_object_agg(operation || ' when', tocsin.watch_statement(w, operation, w.condition))
                || jsonb_object_agg(operation, tocsin.watch_statement(w, operation, null))
            from unnest(w.operations) as operation);
end
$$;

-- All of the table that these statements depend on: its names, its columns, its unique indexes.
create or replace function tocsin.table_shape(relation regclass) returns text language sql stable as $$
    select concat_ws(' ', relation::oid, tocsin.table_name(relation),
        (select string_agg(concat_ws(',', a.attnum, a.attname, a.atttypid, a.attnotnull), ' ' order by a.attnum)
         from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped),
        (select string_agg(i.indexrelid::text, ' ' order by i.indexrelid)
         from pg_index i where i.indrelid = relation and i.indisunique and i.indisvalid))
$$;

-- Makes the statements anew of up to `most` tables that have changed since, and forgets those that were dropped; answers how
-- many. Until then a writer makes them each time, which takes milliseconds. (One that is being watched anew is left alone.)
create or replace function tocsin.refresh_watches(most integer) returns bigint language sql as $$
    with gone as (
        delete from tocsin.watches w
        where w.relation = any (array(select relation from tocsin.watches o
                                      where not exists (select from pg_class c where c.oid = o.relation)
                                      limit most for update skip locked))
        returning 1),
    changed as (
        update tocsin.watches w set shape = tocsin.table_shape(w.relation), statements = tocsin.watch_statements(w)
        where w.relation = any (array(select relation from tocsin.watches o
                                      where o.shape <> tocsin.table_shape(o.relation)
                                        and exists (select from pg_class c where c.oid = o.relation)
                                      limit most for update skip locked))
        returning 1)
    select greatest((select count(*) from gone), (select count(*) from changed))
$$;

-- The trigger of watched tables and of their partitions. Their writers need no right in the schema tocsin, so it runs with
-- its owner's; nothing is looked for where a writer could put something of his own. How values are written does not
-- depend on the writer's settings.
create or replace function tocsin.watched() returns trigger language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set intervalstyle = 'postgres' set bytea_output = 'hex'
as $$
declare
    w    tocsin.watches;
    made jsonb; -- what is executed
begin
    select * into w from tocsin.watches
    where relation = tg_relid::regclass or relation in (select pg_partition_ancestors(tg_relid));
    if not found then
        return null; -- a partition that was detached
    end if;
    if tg_op = 'TRUNCATE' then
        -- Its rows are not looked at one by one; of boxes that columns name nobody knows then.
        insert into tocsin.events (stream, kind, data)
        select w.box, 'table.truncated', jsonb_strip_nulls(jsonb_build_object(
            'table', tocsin.table_name(w.relation), 'operation', 'truncate',
            'partition', case when w.relation <> tg_relid::regclass then tocsin.table_name(tg_relid) end))
        where w.box is not null;
        return null;
    end if;
    made := w.statements;
    if w.shape <> tocsin.table_shape(w.relation) then
        made := tocsin.watch_statements(w);
    end if;
    if made ? 'fault' then
        raise warning 'rows of % are not told of: %', tocsin.table_name(w.relation), made ->> 'fault'
            using hint = 'Call tocsin.watch again, or tocsin.unwatch.';
    end if;
    if not made ? lower(tg_op) then
        return null; -- or a partition with triggers from before, which has come back
    end if;
    if w.condition is not null then
        begin
            execute made ->> (lower(tg_op) || ' when');
            return null;
        exception when others then
            -- What the log refuses is not the condition's fault, and not to be tried again here.
            if left(sqlstate, 2) in ('25', '40', '53', '55', '57', '58', 'XX') then
                raise;
            end if;
            raise warning 'the condition on rows of % fails, and all are told of: %', tocsin.table_name(w.relation), sqlerrm
                using hint = 'Call tocsin.watch again, or tocsin.unwatch.';
        end;
    end if;
    execute made ->> lower(tg_op);
    return null;
end
$$;
-- Whoever could attach it to a table of his own would write events with the rights of its owner.
revoke all on function tocsin.watched() from public;

-- Watches a table: from now on its inserts, updates and deletes (`operations`) are events row.inserted, row.updated and
-- row.deleted, one for each row that changed in one of `columns` (null: in any).
--
-- * `key`: the columns that tell its rows apart, separated by commas: the primary key, or others with a unique index.
-- * `box`: where they are told, `boxId` or `store/boxId`; or `column:NAME`, the column that says so for each row (NULL:
--   nowhere).
-- * `when`: a condition over the rows `new` and `old`, of which one is all NULL when a row comes or goes. It is evaluated
--   with the rights of the schema's owner, to whom tocsin.watches belongs: so nobody else can watch a table, unless he is
--   granted to write there. Functions and operators that are not Postgres' own are to be named with their schema.
--
-- To do it again replaces what was said before, and takes in partitions that have been attached meanwhile.
create or replace function tocsin.watch(
    relation regclass, key text, box text, columns text[] default null,
    operations text[] default '{insert,update,delete}', "when" text default null)
returns void language plpgsql set search_path = pg_catalog, pg_temp set client_min_messages = warning as $$
declare
    w    tocsin.watches;
    part record;
begin
    perform tocsin.check_watchable(relation);
    -- Its columns, and its partitions, stay as they are until this is done.
    execute format('lock table %s in share row exclusive mode', relation);
    w.relation := relation;
    w.made_for := relation;
    w.key := tocsin.column_numbers(relation, array(select trim(name) from unnest(string_to_array(key, ',')) as name), 'key');
    w.columns := tocsin.column_numbers(relation, columns, 'columns');
    w.operations := operations;
    w.condition := "when";
    select jsonb_object_agg(attnum, attname) into w.names
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped;
    if box like 'column:%' then
        w.box_column := (tocsin.column_numbers(relation, array[substr(box, 8)], 'box'))[1];
    else
        w.box := tocsin.box_stream(box);
    end if;
    perform tocsin.check_watch(w);
    w.shape := tocsin.table_shape(relation);
    w.statements := tocsin.watch_statements(w);

    delete from tocsin.watches known
    where known.relation = watch.relation or not exists (select from pg_class c where c.oid = known.relation);
    insert into tocsin.watches select w.*;
    for part in select * from tocsin.partitions_of(relation) loop
        perform tocsin.attach_watch(part.relation, part.kind, operations);
    end loop;
end
$$;

-- A table and all its partitions, theirs too.
create or replace function tocsin.partitions_of(table_or_partition regclass)
returns table (relation regclass, kind "char") language sql stable as $$
    select c.oid::regclass, c.relkind
    from (select table_or_partition as oid union select relid from pg_partition_tree(table_or_partition)) as tree
    join pg_class c on c.oid = tree.oid
    order by c.oid
$$;

-- Attaches the triggers of a watch to one table, and takes away those of operations that are not asked for. TRUNCATE has
-- one where there are rows: that of a partitioned table comes to its partitions.
create or replace function tocsin.attach_watch(relation regclass, kind "char", operations text[]) returns void
language plpgsql set client_min_messages = warning as $$
declare
    it record;
begin
    for it in
        select * from (values
            ('insert', 'insert' = any (operations), 'referencing new table as new_rows'),
            ('update', 'update' = any (operations), 'referencing old table as old_rows new table as new_rows'),
            ('delete', 'delete' = any (operations), 'referencing old table as old_rows'),
            ('truncate', 'delete' = any (operations) and kind = 'r', '')) as triggers (operation, wanted, tables)
    loop
        if it.wanted then
            execute format('create or replace trigger tocsin_watch_%1$s after %1$s on %2$s %3$s
                            for each statement execute function tocsin.watched()', it.operation, relation, it.tables);
        else
            execute format('drop trigger if exists tocsin_watch_%s on %s', it.operation, relation);
        end if;
    end loop;
end
$$;

-- Refuses what cannot be watched.
create or replace function tocsin.check_watchable(relation regclass) returns void language plpgsql stable as $$
declare
    c        pg_class;
    named    text := tocsin.table_name(relation);
    watching text;
begin
    select * into c from pg_class where oid = relation;
    if c.relkind is distinct from 'r' and c.relkind is distinct from 'p' then
        raise exception '% is not a table', named
            using errcode = 'wrong_object_type', hint = 'Views and foreign tables cannot be watched: watch the tables behind them.';
    elsif c.relpersistence = 't' then
        raise exception '% is a temporary table: only its own session sees it', named using errcode = 'wrong_object_type';
    elsif c.relnamespace::regnamespace::text in ('pg_catalog', 'information_schema', 'pg_toast', 'tocsin') then
        raise exception '% belongs to the system', named
            using errcode = 'wrong_object_type', hint = 'Tables of your own belong in another schema, as public.';
    elsif not pg_has_role(c.relowner, 'USAGE') then
        raise exception 'must be owner of table %', named using errcode = 'insufficient_privilege';
    end if;
    if exists (select from tocsin.partitions_of(relation) where kind = 'f') then
        raise exception '% has a partition that is a foreign table', named
            using errcode = 'wrong_object_type', hint = 'Postgres cannot say which rows of a foreign table a statement changed.';
    end if;
    select string_agg(tocsin.table_name(w.relation), ', ') into watching from tocsin.watches w
    where w.relation <> check_watchable.relation
      and (w.relation in (select pg_partition_ancestors(check_watchable.relation))
           or w.relation in (select p.relation from tocsin.partitions_of(check_watchable.relation) p));
    if watching is not null then
        raise exception '% is of the same partitioned table as %, which is watched', named, watching
            using errcode = 'object_in_use', hint = 'A table is watched with all its partitions: unwatch the other one first.';
    end if;
end
$$;

-- The numbers of a table's columns, each once; `part` is what is told to be wrong when there is none of a name. Null for no
-- names at all.
create or replace function tocsin.column_numbers(relation regclass, names text[], part text) returns smallint[]
language plpgsql stable strict as $$
declare
    unknown text;
begin
    select name into unknown from unnest(names) as name
    where not exists (select from pg_attribute a where a.attrelid = relation and a.attname = name
                      and a.attnum > 0 and not a.attisdropped);
    if found then
        raise exception '% has no column "%"', tocsin.table_name(relation), unknown using errcode = 'invalid_parameter_value', column = part;
    end if;
    return (select coalesce(array_agg(a.attnum order by n.place), '{}')
            from (select name, min(place) as place from unnest(names) with ordinality as n (name, place) group by name) as n
            join pg_attribute a on a.attrelid = relation and a.attname = n.name);
end
$$;

-- Refuses what cannot be asked of a watch.
create or replace function tocsin.check_watch(w tocsin.watches) returns void language plpgsql as $$
declare
    keys name[] := tocsin.column_names(w, w.key);
begin
    if cardinality(keys) = 0 or not tocsin.is_key(w.relation, keys) then
        raise exception 'the key of % must be its primary key, or columns that are NOT NULL with a unique index',
            tocsin.table_name(w.relation)
            using errcode = 'invalid_parameter_value', column = 'key',
                  hint = format('ALTER TABLE %s ADD PRIMARY KEY (%s)', w.relation,
                                coalesce((select string_agg(quote_ident(name), ', ') from unnest(keys) as name), '...'));
    elsif w.box is null and w.box_column is null then
        raise exception 'box must be boxId, store/boxId, or column:NAME' using errcode = 'invalid_parameter_value', column = 'box';
    elsif w.columns = '{}' then
        raise exception 'columns must name one at least' using errcode = 'invalid_parameter_value', column = 'columns';
    elsif coalesce(cardinality(w.operations), 0) = 0 or not coalesce(w.operations <@ '{insert,update,delete}', false) then
        raise exception 'operations must be some of insert, update, delete'
            using errcode = 'invalid_parameter_value', column = 'operations';
    end if;
    if w.condition is not null then
        perform tocsin.check_condition(w);
    end if;
end
$$;

-- Refuses a condition that is not one expression, or that Postgres cannot plan. (What would close our brackets, or go on
-- behind them, cannot be read where there are none: so it stands in both places.)
create or replace function tocsin.check_condition(w tocsin.watches) returns void language plpgsql as $$
begin
    if strpos(w.condition, ';') > 0 then
        raise exception 'the condition must be one expression, without ;' using errcode = 'invalid_parameter_value', column = 'when';
    end if;
    begin
        execute format(
            E'explain select case when %1$s\n then (%1$s\n)::boolean end from (%2$s) as new, (%2$s) as old where (%1$s\n)',
            w.condition, tocsin.watch_rows(w, w.relation::text));
    exception when syntax_error_or_access_rule_violation or data_exception or feature_not_supported then
        raise exception 'the condition cannot be used: %', sqlerrm using errcode = 'invalid_parameter_value', column = 'when';
    end;
end
$$;

-- Ends a watch, and leaves nothing of it on the table; false when there was none. (The events stay in the log.)
create or replace function tocsin.unwatch(relation regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    watching text;
    attached record;
    was      boolean;
begin
    select tocsin.table_name(w.relation) into watching from tocsin.watches w
    where w.relation in (select pg_partition_ancestors(unwatch.relation)) and w.relation <> unwatch.relation;
    if found then
        raise exception '% is watched as a partition of %', tocsin.table_name(relation), watching
            using errcode = 'object_in_use', hint = format('Unwatch %s.', watching);
    end if;
    delete from tocsin.watches w where w.relation = unwatch.relation;
    was := found;
    for attached in
        select t.tgname, p.relation from tocsin.partitions_of(unwatch.relation) p
        join pg_trigger t on t.tgrelid = p.relation and t.tgfoid = 'tocsin.watched'::regproc
    loop
        execute format('drop trigger %I on %s', attached.tgname, attached.relation);
        was := true; -- also of a partition that was detached
    end loop;
    delete from tocsin.watches w where not exists (select from pg_class c where c.oid = w.relation);
    return was;
end
$$;

-- This file is loaded because something is new: what an older one made is made anew (tocsin.refresh_watches).
update tocsin.watches set shape = '';
