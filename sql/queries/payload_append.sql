-- More bytes of an upload; no row when it was swept meanwhile.
with upload as (
    update tocsin.payloads set touched_at = now() where id = $1 and hash is null returning id)
insert into tocsin.payload_chunks (payload_id, at_byte, bytes) select id, $2, $3 from upload
