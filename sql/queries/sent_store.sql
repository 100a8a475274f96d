-- Stores how far sources were sent.
select tocsin.store_sent($1::text[], $2::bigint[], $3::bigint[], $4::float8[])
