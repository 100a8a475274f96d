-- What users are told: an event happened once, and makes a notification for each user in its audience.

-- Which types of events there are, and groups of users. Declared by configuration or by a request: not history.
create table tocsin.event_types (
    id          integer generated always as identity constraint event_types_pkey primary key,
    name        text not null constraint event_types_name unique,
    title       text not null,
    description text not null default ''
);

create table tocsin.groups (
    name    text not null,
    user_id text not null,
    constraint groups_pkey primary key (name, user_id)
);

-- A message of a room that is for somebody is a notification of theirs.
insert into tocsin.event_types (name, title) values ('room', 'A message of a room');

-- The users that are known, and what they want. A projection of the streams $inbox/user.
create table tocsin.inboxes (
    user_id  text   not null constraint inboxes_pkey primary key,
    types    text[],         -- the types of events; null: all
    channels text[],         -- the ways of delivery; null: all
    seq      bigint not null -- of the event that said so; 0: nobody has
);

-- What is in the inboxes: a projection of the same streams.
create table tocsin.notifications (
    id       bigint  not null constraint notifications_pkey primary key,
    user_id  text    not null,
    seq      bigint  not null, -- of the event that made it
    type     text    not null,
    event    jsonb   not null, -- as everybody is told
    channels text[],           -- how it is to be delivered, if the sender chose; null: in every way
    silent   boolean not null, -- delivered in no way
    readed   timestamptz
);

create index notifications_by_user on tocsin.notifications (user_id, id) include (type, readed);
create index notifications_unread on tocsin.notifications (user_id, id) include (type) where readed is null;
