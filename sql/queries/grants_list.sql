-- All grants; or, of a user ($1), those of what is the user's own and those to the user.
select * from tocsin.grants
where $1::text is null or grantee = $1
   or kind in ('user', 'inbox', 'room') and name = $1
   or kind = 'box' and substring(name from position('/' in name) + 1) = $1
order by kind, name, grantee
