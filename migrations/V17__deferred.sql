-- What is held until its time: a projection of the streams $deferred/id.
create table tocsin.deferred (
    id         bigint      not null constraint deferred_pkey primary key,
    what       text        not null, -- event, room or callback
    request    jsonb       not null, -- what its release is called with
    condition  jsonb,                -- must hold then, or nothing is sent
    author     text,                 -- who can see and cancel it
    due_at     timestamptz not null,
    created_at timestamptz not null
);

create index deferred_by_due on tocsin.deferred (due_at, id);
create index deferred_by_author on tocsin.deferred (author, id);

-- Where the operator puts functions that conditions may name: (box text, object bigint, notification jsonb) -> boolean.
create schema if not exists tocsin_conditions;
