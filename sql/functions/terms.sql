-- The terms of objects: an index of the texts and values in them, so that a search need not read a whole box.
--
-- A search takes those whose terms match, and of those that may have no terms yet, all; then it holds its exact condition
-- against each (src/store/search). So terms may find too much, but must not miss anything. They do not, because:
--
-- * Every object up to the watermark has its terms. Ids come from one sequence, and transactions commit in any order; so
--   `index_terms` is given an id that the sequence had reached at a moment (`terms_mark`), and only when every transaction
--   of that moment has ended. A transaction has its id before it draws an object's (tocsin.stamp), so nobody who drew
--   one up to that id is still running: what exists of them is visible.
-- * The terms of an object are those of its attributes now. Who changes them changes the terms in the same transaction
--   (`change_terms`, a trigger), and holds the row of `terms_progress` until it commits; `index_terms` holds it too, and
--   takes its snapshot when it has it. Of the two, one is over before the other begins to read.
-- * In a box ids rise with created_seq, since both are taken while the box is locked. So what may lack terms is at the
--   end of the box (`fresh_objects`).
-- * A text that occurs in another one occurs there with all its trigrams; one of two letters or one begins the trigram at
--   its place, since each text is continued with blanks. What is too long for a tsvector has one term that always matches.
--
-- Terms of objects that are gone do no harm: the search joins them to nothing that lives.

-- The hash of a box in front of all its terms, so that its searches read nothing of other boxes. (Boxes that share one
-- find too much.)
create or replace function tocsin.term_prefix(of_stream text) returns text language sql immutable parallel safe as $$
    select left(md5(of_stream), 8)
$$;

-- The trigrams of a text, each text continued with two blanks.
create or replace function tocsin.trigrams(given text) returns table (trigram text) language sql immutable parallel safe as $$
    select letter || lead(letter, 1, ' ') over w || lead(letter, 2, ' ') over w
    from unnest(string_to_array(given, null)) with ordinality l (letter, n)
    window w as (order by n)
$$;

create or replace function tocsin.value_term(name text, value text) returns text language sql immutable parallel safe as $$
    select '=' || left(md5(name || '=' || value), 16)
$$;

create or replace function tocsin.terms_of_object(of_stream text, attributes jsonb, payload jsonb) returns tsvector
language plpgsql immutable parallel safe as $$
declare
    most constant integer := 20000; -- bytes: a tsvector holds 1 MiB, and long texts say little by their trigrams
begin
    if octet_length(attributes::text) + coalesce(octet_length((payload -> 'texts')::text), 0) > most then
        return array_to_tsvector(array[tocsin.term_prefix(of_stream) || '*']);
    end if;
    return array_to_tsvector(array(
        select distinct tocsin.term_prefix(of_stream) || found.term from (
            select '~' || t.trigram as term
            from tocsin.values_of(attributes) v cross join tocsin.trigrams(tocsin.fold(v.value)) t
            where tocsin.is_text_attribute(v.name)
            union all
            select '~' || t.trigram
            from tocsin.payload_texts(payload) p cross join tocsin.trigrams(tocsin.fold(p.content)) t
            union all
            select tocsin.value_term(v.name, v.value) from tocsin.values_of(attributes) v
            where tocsin.is_telling_attribute(v.name)) as found));
end
$$;

create or replace function tocsin.quoted_term(of_stream text, term text) returns text language sql immutable parallel safe as $$
    select '''' || replace(replace(tocsin.term_prefix(of_stream) || term, '\', '\\'), '''', '''''') || ''''
$$;

-- What finds the objects of a box in which a folded text occurs.
create or replace function tocsin.terms_of_text(of_stream text, given text) returns tsquery language sql immutable as $$
    select (tocsin.quoted_term(of_stream, '*') || ' | ' || case
        when length(given) < 3 then tocsin.quoted_term(of_stream, '~' || given) || ':*'
        else '(' || (select string_agg(tocsin.quoted_term(of_stream, '~' || t.trigram), ' & ')
                     from (select distinct substr(given, n, 3) as trigram
                           from generate_series(1, least(length(given) - 2, 40)) n) t) || ')' end)::tsquery
$$;

-- What finds the objects of a box that have a value of an attribute, by its folded name.
create or replace function tocsin.terms_of_value(of_stream text, name text, value text) returns tsquery language sql immutable as $$
    select (tocsin.quoted_term(of_stream, '*') || ' | '
            || tocsin.quoted_term(of_stream, tocsin.value_term(name, value)))::tsquery
$$;

-- How far the ids of objects have been given out, and a transaction id that everybody who drew one of them is older than;
-- null when no object is beyond the watermark, so that nothing is written while nothing happens.
create or replace function tocsin.terms_mark(out reached bigint, out at text) language plpgsql as $$
begin
    select case when is_called then last_value else 0 end into reached from tocsin.object_ids;
    if reached > (select watermark from tocsin.terms_progress) then
        at := pg_current_xact_id()::text; -- after the ids
    end if;
end
$$;

-- Whether every transaction older than a mark has ended.
create or replace function tocsin.terms_mark_passed(at text) returns boolean language sql as $$
    select pg_snapshot_xmin(pg_current_snapshot()) > at::xid8
$$;

-- Gives terms to the next objects up to an id that a mark which has passed had reached; answers how many ids are left to
-- look at, null when somebody else is at it.
create or replace function tocsin.index_terms(reached bigint, most integer) returns bigint language plpgsql as $$
declare
    done bigint;
    upto bigint;
begin
    select watermark into done from tocsin.terms_progress for update skip locked;
    if not found then
        return null;
    end if;
    if done >= reached then
        return 0;
    end if;
    select id into upto from tocsin.objects where id > done order by id offset most - 1 limit 1;
    upto := least(upto, reached);
    insert into tocsin.object_terms (object_id, terms)
    select id, tocsin.terms_of_object(store || '/' || box_id, attributes, payload)
    from tocsin.objects o
    where id > done and id <= upto and gone is null
      and not exists (select from tocsin.object_terms t where t.object_id = o.id); -- by change_terms, and committed
    update tocsin.terms_progress set watermark = upto;
    return reached - upto;
end
$$;

-- New attributes of an object, new terms. Whatever the watermark: the object may be just about to get its first.
create or replace function tocsin.change_terms() returns trigger language plpgsql as $$
begin
    if new.gone is null then
        perform from tocsin.terms_progress for share;
        insert into tocsin.object_terms (object_id, terms)
        values (new.id, tocsin.terms_of_object(new.store || '/' || new.box_id, new.attributes, new.payload))
        on conflict (object_id) do update set terms = excluded.terms;
    else
        delete from tocsin.object_terms where object_id = new.id;
    end if;
    return null;
end
$$;

create or replace function tocsin.drop_terms() returns trigger language plpgsql as $$
begin
    delete from tocsin.object_terms t using gone where t.object_id = gone.id;
    return null;
end
$$;

-- Begins again. For whoever puts objects into the table that were there before: they lie below the watermark.
create or replace function tocsin.forget_terms() returns void language sql as $$
    update tocsin.terms_progress set watermark = 0;
    delete from tocsin.object_terms;
$$;

-- The objects of a box beyond the watermark, newest first, at most so many.
create or replace function tocsin.fresh_objects(of_store text, of_box text, watermark bigint, most integer)
returns setof bigint language plpgsql stable rows 100 as $$
declare
    it bigint;
begin
    for it in
        select o.id from tocsin.objects o where o.box_id = of_box and o.store = of_store
        order by o.created_seq desc limit most
    loop
        exit when it <= watermark;
        return next it;
    end loop;
end
$$;
