-- Publishes a message to a room, now or later ($14: when; $15: in so many seconds); answers its id, or by which one it waits.
select tocsin.publish_to_room($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
                              coalesce($14::timestamptz, now() + make_interval(secs => $15::double precision)), $16, $17)
