-- What boxes there are, and how much is in them. Counts end at 1001, which says: more than 1000. Only what a page shows is
-- counted.
create or replace view tocsin.box_figures as
select s.stream, s.head_seq, s.head_at,
       (select count(*) from (
            select from tocsin.objects o
            where o.store = split_part(s.stream, '/', 1) and o.box_id = split_part(s.stream, '/', 2) and o.gone is null
            limit 1001) counted) as objects,
       (select count(*) from (select from tocsin.subscriptions u where u.stream = s.stream limit 1001) counted) as subscriptions
from tocsin.streams s
where left(s.stream, 1) <> '$';
