-- Boxes in which something has happened lately, the latest first: among the newest 1000 events.
select f.* from (
    select stream, max(edited_at) as at
    from (select stream, edited_at from tocsin.events order by xid desc limit 1000) newest
    group by stream
) recent
join tocsin.box_figures f on f.stream = recent.stream
order by recent.at desc, f.stream
limit $1
