-- The payload of a live object of a box, and where its bytes are.
select o.payload, p.id
from tocsin.objects o join tocsin.payloads p on p.hash = o.payload ->> 'hash'
where o.id = $1 and o.store = $2 and o.box_id = $3 and o.gone is null
