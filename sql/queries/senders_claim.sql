select tocsin.claim_channels($1, make_interval(secs => $2::bigint), $3)
