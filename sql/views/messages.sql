-- An attribute has one value or an array of them. (Read when it is made, not where it stands: there the writer's
-- search_path would say what it means. So are all others that stand in what writers may use.)
create or replace function tocsin.first_value(value jsonb) returns text language sql immutable
return case jsonb_typeof(value) when 'array' then value ->> 0 else value #>> '{}' end;

-- The objects of the boxes as messages: what people write and read with psql. What is told of rows of watched tables is left
-- out for those who may not read the objects themselves: they may have no right on the table. (A barrier: no function of
-- theirs sees what is left out.)
create or replace view tocsin.messages with (security_barrier) as
select store,
       box_id,
       id,
       tocsin.first_value(attributes -> 'From') as sender,
       tocsin.first_value(attributes -> 'To') as recipient,
       tocsin.first_value(attributes -> 'TextContent') as body,
       tocsin.first_value(attributes -> 'Direction') as direction,
       flags,
       attributes,
       case folder_id when 0 then '/' else tocsin.folder_path(folder_id) end as folder, -- its path
       correlation_id,
       correlation_tag,
       created_at, -- when it was stored
       edited_at,  -- the restartToken of its last change
       seq         -- its lastModSeq
from tocsin.objects
where gone is null
  and (coalesce(tocsin.first_value(attributes -> 'Event-Kind'), '') not like 'row.%'
       or has_table_privilege('tocsin.objects', 'select'));

alter view tocsin.messages alter column store set default 'default';
