-- The tables that are watched.
select name, key, box, columns, operations, "when", fault from tocsin.watched_tables order by name
