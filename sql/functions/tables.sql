-- The rows of watched tables, read and changed over HTTP: the columns that are watched, and the key. All with the rights
-- of the server's own role.

-- A watched table by its name, `table` or `schema.table`.
create or replace function tocsin.watched_table(named text) returns tocsin.watches language plpgsql stable as $$
declare
    w tocsin.watches;
begin
    select known.* into w
    from tocsin.watched_tables t
    join tocsin.watches known on known.relation = t.relation
    join pg_class c on c.oid = t.relation join pg_namespace n on n.oid = c.relnamespace
    where named in (t.name, n.nspname || '.' || c.relname);
    if not found then
        raise exception 'no table % is watched', named using errcode = 'undefined_table';
    end if;
    return w;
end
$$;

-- The columns that may be seen.
create or replace function tocsin.seen_columns(w tocsin.watches) returns table (name name, type oid) language sql stable as $$
    select c.name, c.type from tocsin.watched_columns(w) c
    where w.columns is null or c.number = any (w.columns || w.key)
$$;

-- The statement that reads rows `t` of a watched table: the key of each, and the row as JSON.
create or replace function tocsin.select_rows(w tocsin.watches, source text) returns text language sql stable as $$
    select format('select %s as key, to_json("tocsin.seen".*) as content from %s as t cross join lateral (select %s) as "tocsin.seen"',
        (select format('concat_ws('','', %s)', string_agg(format('format(''%%s'', t.%I)', name), ', ' order by place))
         from unnest(tocsin.column_names(w, w.key)) with ordinality as k (name, place)),
        source,
        (select string_agg(case when tocsin.has_json_form(type) then format('t.%1$I as %1$I', name)
                                else format('case num_nulls(t.%1$I) when 0 then format(''%%s'', t.%1$I) end as %1$I', name) end, ', ')
         from tocsin.seen_columns(w)))
$$;

-- The values of a key as it is written in URLs and answered here: those of several columns separated by commas.
create or replace function tocsin.key_values(w tocsin.watches, key text) returns text[] language plpgsql stable as $$
declare
    given text[] := case when cardinality(w.key) = 1 then array[key] else string_to_array(key, ',') end;
begin
    if cardinality(given) <> cardinality(w.key) then
        raise exception 'not a key: %', key using errcode = 'invalid_text_representation';
    end if;
    return given;
end
$$;

-- The key of a row `t`, and what it is compared with: values that are given as texts ($1). (format_type with -1: a type
-- without a length, which would cut them.)
create or replace function tocsin.compared_keys(w tocsin.watches, operator text) returns text language sql stable as $$
    select format('(%s) %s (%s)', string_agg(format('t.%I', c.name), ', ' order by k.place), operator,
                  string_agg(format('($1)[%s]::%s', k.place, format_type(c.type, -1)), ', ' order by k.place))
    from unnest(w.key) with ordinality as k (number, place) join tocsin.watched_columns(w) c on c.number = k.number
$$;

-- Up to `most` rows of a watched table in the order of their keys, from the first one after the key `after` on.
create or replace function tocsin.table_rows(named text, after text, most integer)
returns table (key text, content json) language plpgsql stable as $$
declare
    w tocsin.watches := tocsin.watched_table(named);
begin
    return query execute format('%s where %s order by %s limit $2',
        tocsin.select_rows(w, w.relation::text),
        case when after is null then 'true' else tocsin.compared_keys(w, '>') end,
        (select string_agg(format('t.%I', name), ', ' order by place)
         from unnest(tocsin.column_names(w, w.key)) with ordinality as k (name, place))) using tocsin.key_values(w, after), most;
end
$$;

-- One row, if there is such a one: of a text that cannot be a key, there is none.
create or replace function tocsin.table_row(named text, of_key text)
returns table (key text, content json) language plpgsql stable as $$
declare
    w tocsin.watches := tocsin.watched_table(named);
begin
    return query execute format('%s where %s', tocsin.select_rows(w, w.relation::text), tocsin.compared_keys(w, '='))
    using tocsin.key_values(w, of_key);
exception when data_exception then
    return;
end
$$;

-- Changes columns of one row; answers what it has become, nothing when there is no such row.
create or replace function tocsin.change_row(named text, of_key text, change jsonb)
returns table (key text, content json) language plpgsql as $$
declare
    w     tocsin.watches := tocsin.watched_table(named);
    given name[];
begin
    select t.key, t.content into key, content from tocsin.table_row(named, of_key) t;
    if not found then
        return;
    end if;
    perform tocsin.check_change(w, change);
    given := array(select jsonb_object_keys(change));
    if given = '{}' then
        return next;
        return;
    end if;
    return query execute format(
        'with changed as (update %1$s as t set (%2$s) = (select %3$s from jsonb_populate_record(null::%1$s, $2) as c)
                          where %4$s returning t.*) %5$s',
        w.relation, (select string_agg(quote_ident(name), ', ') from unnest(given) as name),
        (select string_agg(format('c.%I', name), ', ') from unnest(given) as name),
        tocsin.compared_keys(w, '='), tocsin.select_rows(w, 'changed'))
    using tocsin.key_values(w, of_key), change;
end
$$;

-- Refuses a change of columns that may not be seen, or with values that they cannot have.
create or replace function tocsin.check_change(w tocsin.watches, change jsonb) returns void language plpgsql stable as $$
declare
    it record;
begin
    for it in select c.key as name, c.value from jsonb_each(change) as c loop
        if not exists (select from tocsin.seen_columns(w) s where s.name = it.name) then
            raise exception 'no column % of % is watched', it.name, tocsin.table_name(w.relation)
                using errcode = 'invalid_parameter_value', column = it.name;
        end if;
        begin
            execute format('select (jsonb_populate_record(null::%s, $1)).%I', w.relation, it.name)
            using jsonb_build_object(it.name, it.value);
        exception when data_exception or integrity_constraint_violation then
            raise exception 'column %: %', it.name, sqlerrm using errcode = 'invalid_parameter_value', column = it.name;
        end;
    end loop;
end
$$;
