-- Each write of an event moves its stream's row, and whoever comes next clears the old version away, at a cost that grows
-- with the rows of the page. Few of them are worth the room. (Pages that are full already stay so.)
alter table tocsin.streams set (fillfactor = 20);

-- Ringing is a part of tocsin.stamp now, and the INSERT into tocsin.messages a rule.
drop trigger if exists events_ring on tocsin.events;
drop function if exists tocsin.ring();
drop function if exists tocsin.unusual_message(jsonb, tocsin.messages);
