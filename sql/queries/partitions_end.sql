-- Until when events can be written, in seconds since 1970: the beginning of the first month without a partition.
select extract(epoch from min(month) at time zone 'UTC')::float8
from generate_series(
    date_trunc('month', now() at time zone 'UTC'),
    date_trunc('month', now() at time zone 'UTC') + interval '10 years',
    interval '1 month') as month
where to_regclass('tocsin.events_' || to_char(month, 'YYYY_MM')) is null
