-- What `turnout archive run` asks before anything is removed.

-- name: stream_needs
-- From which offset on each consumer group needs a shard's stream: its cursor, or an event before
-- it that it put aside and may have to take in again. $1 shard.
SELECT
    c.consumer_group,
    least(
        min(c.next_offset),
        (
            SELECT min(p.record_offset) FROM stream_parked AS p
            WHERE p.consumer_group = c.consumer_group AND p.shard = $1::integer
        )
    )
FROM stream_cursors AS c
WHERE c.shard = $1::integer
GROUP BY c.consumer_group
ORDER BY c.consumer_group

-- name: merchants_of_intents
-- Whose payments are whose; those that are not there have no row. $1 payment intents.
SELECT p.id, p.merchant_id FROM payment_intents AS p WHERE p.id = ANY ($1::uuid[])
