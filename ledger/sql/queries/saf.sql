-- name: due_saf
-- Advices of one switch to send now, soonest due first. $1 owner, $2 now, $3 rows at most,
-- $4 networks that take some now; one that an operator has resolved needs none.
-- Inside one intent only the oldest is ever due, so a capture goes before what follows it; one
-- that waits for an operator is not, and holds nothing up: the network has rejected it, and what
-- stands behind it may be the reversal of another message.
SELECT
    s.attempt_id, s.transaction_id, s.kind, s.network, s.due_at, s.repeats, s.manual,
    s.resolution, s.resolved_by, s.intent_id, s.created_at, s.owner, s.epoch
FROM store_and_forward AS s
WHERE s.owner = $1::text AND s.due_at <= $2::timestamptz AND NOT s.manual
    AND (s.network = ANY ($4::text[]) OR s.resolution <> '')
    AND NOT EXISTS (
        SELECT FROM store_and_forward AS p
        WHERE p.intent_id = s.intent_id AND p.attempt_id < s.attempt_id AND NOT p.manual
    )
ORDER BY s.due_at, s.attempt_id
LIMIT $3::bigint

-- name: count_saf_sends
-- Count a send of each advice before it leaves, and say when to look at it again. What waits for
-- an operator, or has heard from one, must not leave: it is not returned; where the lease has a
-- newer epoch nothing is. $1 switch, $2 epoch, $3 attempt ids, $4 when each is due again.
UPDATE store_and_forward AS s
SET repeats = s.repeats + 1, due_at = r.due_at
FROM (
    SELECT x.attempt_id
    FROM store_and_forward AS x
    WHERE x.attempt_id = ANY ($3::uuid[]) AND NOT x.manual AND x.resolution = ''
        AND EXISTS (
            SELECT FROM switch_leases AS l WHERE l.switch = $1::text AND l.epoch = $2::integer
        )
    ORDER BY x.attempt_id
    FOR UPDATE
) AS waiting
JOIN unnest($3::uuid[], $4::timestamptz[]) AS r (attempt_id, due_at)
    ON r.attempt_id = waiting.attempt_id
WHERE s.attempt_id = waiting.attempt_id
RETURNING s.attempt_id, s.repeats

-- name: count_saf
-- How many advices wait, by network and kind, and how many of them for an operator.
SELECT
    s.network, s.kind, count(*) FILTER (WHERE NOT s.manual), count(*) FILTER (WHERE s.manual),
    min(s.created_at)
FROM store_and_forward AS s
GROUP BY s.network, s.kind
ORDER BY s.network, s.kind

-- name: list_saf
-- A page of the queue with the messages it repeats, oldest first. $1 only ids above this one, $2
-- only those that wait for an operator, $3 rows at most.
SELECT
    s.attempt_id, s.transaction_id, s.kind, s.network, s.due_at, s.repeats, s.manual,
    s.resolution, s.resolved_by, s.intent_id, s.created_at, s.owner, s.epoch,
    a.mti, a.acquirer_id, a.stan, a.rrn, a.de7, a.amount_minor, a.currency
FROM store_and_forward AS s
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS b WHERE b.intent_id = s.intent_id AND b.id = s.attempt_id LIMIT 1
) AS a
WHERE s.attempt_id > $1::uuid AND (s.manual OR NOT $2::boolean)
ORDER BY s.attempt_id
LIMIT $3::bigint

-- name: show_saf
-- One advice and the message it repeats. $1 attempt id.
SELECT
    s.attempt_id, s.transaction_id, s.kind, s.network, s.due_at, s.repeats, s.manual,
    s.resolution, s.resolved_by, s.intent_id, s.created_at, s.owner, s.epoch,
    a.mti, a.acquirer_id, a.stan, a.rrn, a.de7, a.amount_minor, a.currency
FROM store_and_forward AS s
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS b WHERE b.intent_id = s.intent_id AND b.id = s.attempt_id LIMIT 1
) AS a
WHERE s.attempt_id = $1::uuid

-- name: read_operator_actions
-- What operators did about an advice, oldest first. $1 attempt id.
SELECT o.at, o.operator, o.action, o.resolution, o.note
FROM operator_actions AS o
WHERE o.attempt_id = $1::uuid
ORDER BY o.id

-- name: retry_saf
-- Have an advice sent at once. $1 attempt id, $2 operator, $3 note. Empty, or why not.
SELECT operator_saf_retry($1::uuid, $2::text, $3::text)

-- name: resolve_saf
-- Tell the switch what an operator found out about an advice in the manual queue. $1 attempt id,
-- $2 acknowledged or refused, $3 operator, $4 note. Empty, or why not.
SELECT operator_saf_resolve($1::uuid, $2::text, $3::text, $4::text)
