-- The terms of objects that change or go (sql/functions/terms.sql). A new object costs nothing here.
create or replace trigger objects_terms after update on tocsin.objects
    for each row when (old.attributes is distinct from new.attributes or old.gone is distinct from new.gone)
    execute function tocsin.change_terms();
create or replace trigger objects_no_terms after delete on tocsin.objects
    referencing old table as gone
    for each statement execute function tocsin.drop_terms();
