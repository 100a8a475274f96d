-- Watches a table ($1) by its key ($2) into a box ($3): these columns ($4), operations ($5; null: all), under a condition ($6).
select tocsin.watch($1::text::regclass, $2, $3, $4::text[], coalesce($5::text[], '{insert,update,delete}'), $6)
