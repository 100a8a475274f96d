-- Writing to the view tocsin.messages.
create or replace trigger messages_insert instead of insert on tocsin.messages
    for each row execute function tocsin.messages_insert();
create or replace trigger messages_update instead of update on tocsin.messages
    for each row execute function tocsin.messages_update();
create or replace trigger messages_delete instead of delete on tocsin.messages
    for each row execute function tocsin.messages_delete();
