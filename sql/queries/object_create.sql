-- Creates an object; what is null in its data is left out.
select made, path from tocsin.create_object($1, $2, $3, jsonb_strip_nulls($4), $5)
