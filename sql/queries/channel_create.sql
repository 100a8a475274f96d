select outcome, channel_id, expires_at
from tocsin.create_channel($1, $2, $3, $4, $5, $6, $7, $8)
