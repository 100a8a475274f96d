-- Publishes an event, now or later ($11: when; $12: in so many seconds); answers its id, or by which one it waits.
select tocsin.publish($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
                      coalesce($11::timestamptz, now() + make_interval(secs => $12::double precision)), $13, $14)
