-- The tables that are watched (sql/functions/watch.sql). Not history: kept beside the log.

-- Columns are remembered by number, so that they may be renamed. A restored dump numbers them anew, and the table has
-- another oid there: then they are found by the names they had.
create table tocsin.watches (
    relation   regclass   not null constraint watches_pkey primary key,
    made_for   oid        not null, -- the oid of the table when it was watched
    key        smallint[] not null, -- of its columns, in the order that was given
    box        text,                -- the stream of the box that all rows are told in; null: it is in a column
    box_column smallint,            -- that column
    columns    smallint[],          -- those that are told of; null: all, be they added later
    operations text[]     not null, -- insert, update, delete
    condition  text,                -- over new and old; null: none
    names      jsonb      not null, -- {"1": "id", ...}: the columns' names when it was watched, by which the condition goes
    shape      text       not null, -- what the statements were made for
    statements jsonb      not null  -- what tells of its rows, ready to be executed
);

-- Whether a subscription's nmsEvents carry the attributes of their objects.
alter table tocsin.subscriptions add column attributes boolean not null default false;
