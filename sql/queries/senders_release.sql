-- Gives up leases at once: another node may take over.
update tocsin.senders set lease_until = now() where channel_id = any ($2) and node = $1
