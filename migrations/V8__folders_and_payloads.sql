-- Folders, the payloads of objects, and what tombstones and expiry look for.

-- The projection of folder events. Every box has a root folder: it is no row, and its id is 0 (`root` in URLs). Ids
-- are of the same sequence as those of objects.
create table tocsin.folders (
    id          bigint      not null constraint folders_pkey primary key,
    store       text        not null,
    box_id      text        not null,
    parent_id   bigint      not null, -- 0: the root folder
    name        text        not null, -- no slash; unique among its living siblings
    attributes  jsonb       not null,
    created_seq bigint      not null,
    created_at  timestamptz not null, -- when it was stored
    seq         bigint      not null, -- lastModSeq
    edited_at   timestamptz not null,
    gone        text                  -- 'deleted' or 'expired': a tombstone
);

create unique index folders_by_name on tocsin.folders (box_id, store, parent_id, name) where gone is null;
create index folders_gone on tocsin.folders (edited_at) where gone is not null;

drop view if exists tocsin.messages cascade; -- it is replaceable

alter table tocsin.objects
    drop column folder,
    add column folder_id bigint not null default 0,
    add column payload jsonb; -- of which bytes it is, under their hash, and their parts

-- Beside the one index that every new object pays for, only such as the usual message is not in, or as cost next to
-- nothing.
create index objects_by_folder on tocsin.objects (folder_id, created_seq) where folder_id <> 0;
create index objects_gone_by_box on tocsin.objects (box_id, store, seq) where gone is not null;
create index objects_gone on tocsin.objects (edited_at) where gone is not null;
create index objects_by_age on tocsin.objects using brin (created_at);
