-- The piece of a payload that a byte is in.
select at_byte, bytes from tocsin.payload_chunks where payload_id = $1 and at_byte <= $2 order by at_byte desc limit 1
