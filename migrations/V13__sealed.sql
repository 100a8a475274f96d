-- The partitions of the log that are sealed (sql/functions/partitions.sql): nothing is written into them any more.
create table tocsin.sealed (
    partition text        not null constraint sealed_pkey primary key,
    upto      timestamptz not null, -- where it ends, by created_at
    newest    timestamptz not null  -- neither it nor any before it has an event with a later edited_at
);

-- (The tail's session wants an index for whatever it reads.)
create index sealed_upto on tocsin.sealed (upto);
