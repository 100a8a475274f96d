-- Boxes in the order of their names, after one of them: those whose name begins so. (No character is beyond the last one.)
select * from tocsin.box_figures
where stream collate "C" > $1 and stream collate "C" >= $2 and stream collate "C" < $2 || U&'\+10FFFF'
order by stream collate "C"
limit $3
