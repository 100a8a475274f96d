-- Who may do what here besides the owner of the schema: see sql/privileges.sql.

-- Rows that others than the owner write into the log are looked at one by one. For the owner it costs nothing.
alter table tocsin.events enable row level security;

-- The channel that the nodes LISTEN to: anybody who may connect may listen, or ring with a forged copy, if he knows its
-- name. So nobody does who may not read here.
create table tocsin.doorbell (
    one     boolean primary key default true constraint doorbell_one_row check (one),
    channel text    not null
);
insert into tocsin.doorbell (channel) values ('tocsin_' || replace(gen_random_uuid()::text, '-', ''));
