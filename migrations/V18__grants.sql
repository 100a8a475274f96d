-- Who may reach what is not theirs. (Not history: kept beside the log, and left alone by a rebuild.) `*` as a grantee is
-- everybody who has a token; as a name, every resource of the kind.
create table tocsin.grants (
    id         bigint      generated always as identity constraint grants_pkey primary key,
    grantee    text        not null,
    kind       text        not null constraint grants_kind check (kind in ('user', 'box', 'inbox', 'room', 'table')),
    name       text        not null,
    rights     text[]      not null constraint grants_rights check (rights <> '{}' and rights <@ '{read,write}'),
    granted_by text,
    granted_at timestamptz not null default now(),
    constraint grants_once unique (grantee, kind, name)
);

-- Who made a subscription, when callers are told apart; and whether by the right to everything, which no grant is.
alter table tocsin.subscriptions
    add column subscriber text,
    add column privileged boolean not null default false;

-- (It has another parameter now.)
drop function if exists tocsin.take_callback(text, text, text, text, bigint);
