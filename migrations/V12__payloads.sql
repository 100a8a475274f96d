-- The bytes of payloads. They are content, not a projection: beside the log, which names them by their hash, and kept
-- when the projections are built again.

-- An upload, and once an object has it, a payload: the same bytes are stored once.
create table tocsin.payloads (
    id         bigint      generated always as identity constraint payloads_pkey primary key,
    hash       text        constraint payloads_by_hash unique, -- SHA-256 in hexadecimal; null: an upload, which is nobody's yet
    size       bigint,                                         -- in bytes
    touched_at timestamptz not null default now()              -- when bytes came, or an object came to have it
);

-- Its bytes, in pieces. (The server chooses their size, and may choose another one later.)
create table tocsin.payload_chunks (
    payload_id bigint not null constraint payload_chunks_of_payload references tocsin.payloads on delete cascade,
    at_byte    bigint not null, -- where in the payload the piece begins
    bytes      bytea  not null,
    constraint payload_chunks_pkey primary key (payload_id, at_byte)
);

-- Most payloads are compressed already.
alter table tocsin.payload_chunks alter column bytes set storage external;

-- Who has a payload.
create index objects_by_payload on tocsin.objects ((payload ->> 'hash')) where payload is not null;
