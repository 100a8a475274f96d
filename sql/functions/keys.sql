-- A new key for channelURLs, callbackURLs and the signatures of webhooks. It comes into use after `begins_in`, when all nodes
-- have it; what was made with older ones is good for `keep` from then on. Nothing but 0 for both ends older ones at once.
create or replace function tocsin.rotate_key(keep interval, begins_in interval, out signs_from timestamptz, out expires_at timestamptz)
language plpgsql as $$
begin
    lock table tocsin.url_keys in share row exclusive mode;
    if keep < '0' or keep > '10 years' or begins_in < '0' then
        raise exception 'old keys are kept for ten years at most' using errcode = 'invalid_parameter_value';
    end if;
    signs_from := now() + begins_in;
    expires_at := signs_from + keep;
    update tocsin.url_keys k set expires_at = least(k.expires_at, rotate_key.expires_at);
    delete from tocsin.url_keys k where k.expires_at <= now();
    -- Each is tried with every URL that comes, and signs every webhook.
    if (select count(*) from tocsin.url_keys) >= 8 then
        raise exception 'eight keys are in use: one must expire first, or all at once'
            using errcode = 'object_in_use';
    end if;
    insert into tocsin.url_keys (key, signs_from)
    values (decode(replace(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
            rotate_key.signs_from);
end
$$;
