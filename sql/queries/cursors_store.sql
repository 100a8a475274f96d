-- Stores confirmed positions.
select tocsin.store_positions($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[])
