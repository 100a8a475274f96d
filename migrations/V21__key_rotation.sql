-- Keys that URLs are made with follow one another (sql/functions/keys.sql).
alter table tocsin.url_keys
    add column signs_from timestamptz not null default now(), -- accepted before, so that all nodes know it when one uses it
    add column expires_at timestamptz;                        -- null: the newest

-- Which secret outside the database the keys are used with, if there is one: nothing that helps to guess it.
create table tocsin.secret_key (
    one         boolean primary key default true constraint secret_key_one_row check (one),
    fingerprint text    not null
);
