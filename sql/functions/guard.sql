-- The log is append-only for everyone, its owner included.
create or replace function tocsin.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% on %.% is refused: the log is append-only', tg_op, tg_table_schema, tg_table_name
        using errcode = 'insufficient_privilege',
              hint = 'Write with INSERT INTO tocsin.events or tocsin.messages; old events leave by retention only.';
end
$$;
