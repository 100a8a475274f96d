-- The events of boxes as the items they tell of: what a subscription's filter looks at, after the change, before it
-- for a deletion. `item` is null in events that no subscription is told of.
create or replace view tocsin.event_items as
select stream,
       seq,
       case when kind = 'box.reset' then 'box'
            when kind like 'folder.%' then 'folder'
            when kind not like 'subscription.%' and kind not like 'channel.%' then 'object' end as item,
       case when kind like 'object.%' or kind like 'folder.%' then split_part(kind, '.', 2)
            else 'created' end as change, -- an application's own event is a new object
       case when kind like 'folder.%' then data -> 'attributes' || jsonb_build_object('Name', data -> 'name')
            else data -> 'attributes' end as attributes,
       case when data ? 'flags' then tocsin.texts(data -> 'flags') else '{}' end as flags,
       coalesce(data ->> 'path', '') as path,
       coalesce((data ->> 'storedAt')::timestamptz, edited_at) as stored_at,
       data -> 'payload' as payload
from tocsin.events;
