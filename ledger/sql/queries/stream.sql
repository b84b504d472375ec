-- name: stream_cursor
-- How far a group has come. $1 group, $2 shard.
SELECT c.partition, c.next_offset
FROM stream_cursors AS c
WHERE c.consumer_group = $1::text AND c.shard = $2::integer

-- name: begin_stream_cursor
-- Note where a group begins, unless it has begun. $1 group, $2 shard, $3 partition, $4 offset.
INSERT INTO stream_cursors (consumer_group, shard, partition, next_offset)
VALUES ($1::text, $2::integer, $3::integer, $4::bigint)
ON CONFLICT DO NOTHING

-- name: move_stream_cursor
-- Move a group on, in the transaction of the effect. $1 group, $2 shard, $3 partition, $4 from,
-- $5 to. Where it does not stand at $4 the transaction ends by stream_cursors_expected.
INSERT INTO stream_cursors AS c (consumer_group, shard, partition, next_offset)
VALUES ($1::text, $2::integer, $3::integer, $5::bigint)
ON CONFLICT (consumer_group, shard, partition) DO UPDATE
SET next_offset = CASE WHEN c.next_offset = $4::bigint THEN $5::bigint ELSE -1 END,
    updated_at = now()

-- name: reset_stream_cursor
-- Have a group read again from a place, or skip to it. $1 group, $2 shard, $3 partition, $4 offset.
INSERT INTO stream_cursors AS c (consumer_group, shard, partition, next_offset)
VALUES ($1::text, $2::integer, $3::integer, $4::bigint)
ON CONFLICT (consumer_group, shard, partition) DO UPDATE
SET next_offset = excluded.next_offset, updated_at = now()

-- name: forget_parked
-- Let go of what is parked: its offsets are of a stream that is no more. $1 shard.
DELETE FROM stream_parked WHERE shard = $1::integer

-- name: pass_over_restores
-- Have what restores have lost until now count as another stream's.
INSERT INTO former_restores (id) SELECT r.id FROM restores AS r ON CONFLICT (id) DO NOTHING

-- name: reset_stream_cursors
-- Have every group read from the beginning. $1 shard.
UPDATE stream_cursors SET next_offset = 0, updated_at = now()
WHERE shard = $1::integer AND next_offset > 0

-- name: park_event
-- Put an event aside, or note that another try has failed. $1 group, $2 shard, $3 partition,
-- $4 offset, $5 intent or NULL, $6 reason.
INSERT INTO stream_parked AS p (
    consumer_group, shard, partition, record_offset, intent_id, reason
)
VALUES ($1::text, $2::integer, $3::integer, $4::bigint, $5::uuid, $6::text)
ON CONFLICT (consumer_group, shard, partition, record_offset) DO UPDATE
SET tries = p.tries + 1, retry_at = NULL, reason = excluded.reason

-- name: unpark_event
-- An event that was put aside has been taken in. $1 group, $2 shard, $3 partition, $4 offset.
DELETE FROM stream_parked
WHERE consumer_group = $1::text AND shard = $2::integer AND partition = $3::integer
    AND record_offset = $4::bigint

-- name: parked_to_retry
-- What operators want tried again. $1 group, $2 shard, $3 at most.
SELECT p.partition, p.record_offset
FROM stream_parked AS p
WHERE p.consumer_group = $1::text AND p.shard = $2::integer AND p.retry_at IS NOT NULL
ORDER BY p.partition, p.record_offset
LIMIT $3::bigint

-- name: count_parked
-- How many events a group has put aside. $1 group, $2 shard.
SELECT count(*) FROM stream_parked AS p WHERE p.consumer_group = $1::text AND p.shard = $2::integer

-- name: list_parked
-- What consumers have put aside, by group and place. $1 only of this group; empty is any. $2 at
-- most.
SELECT
    p.consumer_group, p.shard, p.partition, p.record_offset, p.parked_at, p.retry_at, p.intent_id,
    p.tries, p.reason
FROM stream_parked AS p
WHERE $1::text IN ('', p.consumer_group)
ORDER BY p.consumer_group, p.shard, p.partition, p.record_offset
LIMIT $2::bigint

-- name: list_stream_cursors
-- How far each group has come.
SELECT c.consumer_group, c.shard, c.partition, c.next_offset, c.updated_at
FROM stream_cursors AS c
ORDER BY c.consumer_group, c.shard, c.partition

-- name: retry_parked
-- An operator's word that an event be tried again. $1 group, $2 shard, $3 partition, $4 offset,
-- $5 operator, $6 note. Empty, or why not.
SELECT operator_stream_retry(
    $1::text, $2::integer, $3::integer, $4::bigint, $5::text, $6::text
)

-- name: finished_attempts
-- Which of some attempts have an outcome, or are not in the ledger, which was set back to a backup.
-- $1 intents, $2 attempts, in pairs.
SELECT r.attempt_id
FROM unnest($1::uuid[], $2::uuid[]) AS r (intent_id, attempt_id)
WHERE EXISTS (
    SELECT FROM outcomes AS o WHERE o.intent_id = r.intent_id AND o.attempt_id = r.attempt_id
) OR NOT EXISTS (
    SELECT FROM attempts AS a WHERE a.intent_id = r.intent_id AND a.id = r.attempt_id
)

-- name: open_unfinished_exception
-- Tell people of an attempt that nobody finished, once. $1 kind, $2 network, $3 intent,
-- $4 transaction, $5 attempt.
INSERT INTO exceptions (kind, network, intent_id, transaction_id, attempt_id)
VALUES ($1::text, $2::text, $3::uuid, $4::uuid, $5::uuid)
ON CONFLICT DO NOTHING
