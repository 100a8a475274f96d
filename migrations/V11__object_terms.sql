-- What texts and values are in which object, so that searches need not read whole boxes: derived data, written behind
-- the writers' backs (sql/functions/terms.sql).

create table tocsin.object_terms (
    object_id bigint   not null constraint object_terms_pkey primary key,
    terms     tsvector not null -- each with its box's hash in front
);

-- What waits in the index to be put in its place is read by every search: not much of it.
create index object_terms_terms on tocsin.object_terms using gin (terms) with (gin_pending_list_limit = 512);

-- Every living object up to this id is in tocsin.object_terms.
create table tocsin.terms_progress (
    one       boolean primary key default true constraint terms_progress_one_row check (one),
    watermark bigint  not null
);
insert into tocsin.terms_progress (watermark) values (0);
