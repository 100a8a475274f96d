-- Where a stream ($1) stands, and what kind of event it has at a seq ($2).
select s.head_seq, s.base_seq, (select e.kind from tocsin.events e where e.stream = s.stream and e.seq = $2) as kind
from tocsin.streams s where s.stream = $1
