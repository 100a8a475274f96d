-- The projection of object events: what is in the boxes now. (No CHECK constraints: a check's expression is parsed
-- anew for every INSERT statement, which the hot path would pay. Only tocsin.apply_object writes here.)

-- Ids are unique over all boxes, and never used again.
create sequence tocsin.object_ids as bigint;

create table tocsin.objects (
    id              bigint      not null constraint objects_pkey primary key,
    store           text        not null,
    box_id          text        not null,
    folder          text        not null,
    attributes      jsonb       not null, -- {"name": "value"} or {"name": ["value", ...]}
    flags           text[]      not null,
    correlation_id  text,
    correlation_tag text,
    created_seq     bigint      not null,
    created_at      timestamptz not null, -- the internal date: when it was stored
    seq             bigint      not null, -- lastModSeq
    edited_at       timestamptz not null,
    gone            text                  -- 'deleted' or 'expired': a tombstone
);

create index objects_by_box on tocsin.objects (box_id, store, created_seq);
