-- The tables that are watched, as they are now: columns by their present names. One that was dropped is not there, nor
-- what has its oid now: that has no trigger of ours.
create or replace view tocsin.watched_tables as
select w.relation,
       tocsin.table_name(w.relation) as name,
       tocsin.column_names(w, w.key)::text[] as key,
       coalesce(case when w.box like 'default/%' then substr(w.box, 9) else w.box end,
                'column:' || (tocsin.column_names(w, array[w.box_column]))[1]) as box,
       case when w.columns is not null then tocsin.column_names(w, w.columns)::text[] end as columns, -- null: all
       w.operations,
       w.condition as "when",
       tocsin.watch_fault(w) as fault -- why its rows are not told of; null when they are
from tocsin.watches w
where exists (select from pg_trigger t where t.tgrelid = w.relation and t.tgfoid = 'tocsin.watched'::regproc);
