-- An attribute has one value or an array of them.
create or replace function tocsin.first_value(value jsonb) returns text language sql immutable as $$
    select case jsonb_typeof(value) when 'array' then value ->> 0 else value #>> '{}' end
$$;

-- The objects of the boxes as messages: what people write and read with psql.
create or replace view tocsin.messages as
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
where gone is null;

alter view tocsin.messages alter column store set default 'default';
