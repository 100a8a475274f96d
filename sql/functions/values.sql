-- What the conditions of searches and filters look at. What they say, src/filter/memory.rs says too, about the same data.

-- The values of attributes that are texts, numbers or booleans, one by one, each with the folded name of its attribute.
-- (In the planner's eyes the text stands where it is called.)
create or replace function tocsin.values_of(attributes jsonb) returns table (name text, value text)
language sql immutable parallel safe as $$
    select tocsin.fold(a.key), v.one #>> '{}'
    from jsonb_each(attributes) a
    cross join jsonb_array_elements(
        case jsonb_typeof(a.value) when 'array' then a.value else jsonb_build_array(a.value) end) v (one)
    where jsonb_typeof(v.one) in ('string', 'number', 'boolean')
$$;

-- The texts of a payload's parts.
create or replace function tocsin.payload_texts(payload jsonb) returns table (content text)
language sql immutable parallel safe as $$
    select t.one #>> '{}'
    from jsonb_array_elements(case jsonb_typeof(payload -> 'texts') when 'array' then payload -> 'texts' else '[]' end) t (one)
    where jsonb_typeof(t.one) = 'string'
$$;

-- Whether searches for texts look into an attribute, by its folded name: not into ids, tokens and dates. The server has
-- the same list (src/filter).
create or replace function tocsin.is_text_attribute(name text) returns boolean language sql immutable parallel safe as $$
    select name <> all ('{date,direction,message-context,content-type,content-location,content-duration,mime-version,
        multipartcontenttype,message-id,conversation-id,contribution-id,inreplyto-contribution-id,clientcorrelator,
        dispositionoriginalmessageid,dispositiontype,dispositionstatus,reportrequested,udh,is-cpm-group,is-open-group,
        event-kind}'::text[])
$$;

-- Whether an index of an attribute's values, by its folded name, tells objects apart. The server has the same list.
create or replace function tocsin.is_telling_attribute(name text) returns boolean language sql immutable parallel safe as $$
    select name <> all ('{direction,message-context,content-type,mime-version,multipartcontenttype,udh,event-kind}'::text[])
$$;
