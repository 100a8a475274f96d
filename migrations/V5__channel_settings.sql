-- A channel's type and what is particular to it, as granted, and the format its client writes and reads.

alter table tocsin.channels
    drop column channel_type,
    drop column max_notifications,
    add column settings jsonb not null default '{}',
    add column format text not null default 'JSON' constraint channels_format check (format in ('JSON', 'XML'));
alter table tocsin.channels alter column settings drop default, alter column format drop default;

create index channels_by_correlator on tocsin.channels (user_id, client_correlator) where client_correlator is not null;
