-- name: listening_endpoints
-- Who of some merchants has endpoints, and what each wants to hear. $1 merchants.
SELECT e.merchant_id, e.live, e.id, e.status = 'enabled' AS enabled, e.created_at, e.event_types
FROM webhook_endpoints AS e
JOIN unnest($1::uuid[]) AS r (merchant_id) ON r.merchant_id = e.merchant_id
ORDER BY e.id

-- name: states_told_before
-- What was told last of each intent before a version of it. $1 intents, $2 versions.
SELECT r.place, e.status, e.refunded_minor
FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS r (intent_id, version, place)
CROSS JOIN LATERAL (
    SELECT m.status, m.refunded_minor FROM merchant_events AS m
    WHERE m.intent_id = r.intent_id AND m.intent_version < r.version
    ORDER BY m.intent_version DESC
    LIMIT 1
) AS e

-- name: details_at_versions
-- What the intent's own row does not say of it at a version: details, and the transaction that was
-- the latest then, as it was then. $1 intents, $2 versions. One row each that has details.
SELECT
    r.place, d.description, d.metadata, d.merchant_reference,
    t.id, t.intent_id, t.type,
    CASE
        WHEN o.to_status IN ('succeeded', 'failed', 'reversed') THEN o.to_status
        WHEN EXISTS (
            SELECT FROM attempts AS a
            WHERE a.intent_id = r.intent_id AND a.transaction_id = t.id AND a.kind = 'reversal'
                AND a.intent_version <= r.version
                AND NOT EXISTS (
                    SELECT FROM outcomes AS x
                    WHERE x.intent_id = r.intent_id AND x.attempt_id = a.id
                        AND x.intent_version <= r.version
                )
        ) THEN 'reversing'
        ELSE coalesce(o.to_status, 'pending')
    END AS status,
    coalesce(o.approved_minor, t.amount_minor) AS amount_minor, t.currency,
    coalesce(o.response_code, '') AS response_code, coalesce(o.approval_code, '') AS approval_code,
    coalesce(o.decline_code, '') AS decline_code, coalesce(o.advice, '') AS advice,
    coalesce(t.card_brand, '') AS card_brand, coalesce(t.card_last4, '') AS card_last4,
    coalesce(t.card_exp_month, 0::smallint) AS card_exp_month,
    coalesce(t.card_exp_year, 0::smallint) AS card_exp_year,
    t.created_at, coalesce(o.at, t.created_at) AS updated_at, t.final_capture
FROM unnest($1::uuid[], $2::integer[]) WITH ORDINALITY AS r (intent_id, version, place)
CROSS JOIN LATERAL (
    SELECT * FROM payment_intent_details AS e WHERE e.intent_id = r.intent_id LIMIT 1
) AS d
LEFT JOIN LATERAL (
    SELECT
        u.id, u.intent_id, u.type, u.amount_minor, u.currency, u.card_brand, u.card_last4,
        u.card_exp_month, u.card_exp_year, u.created_at, u.final_capture
    FROM transactions AS u
    WHERE u.intent_id = r.intent_id AND u.intent_version <= r.version
    ORDER BY u.id DESC
    LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
    SELECT * FROM outcomes AS p
    WHERE p.intent_id = r.intent_id AND p.transaction_id = t.id AND p.from_status <> p.to_status
        AND p.intent_version <= r.version
    ORDER BY p.intent_version DESC, p.phase DESC, p.attempt_id DESC
    LIMIT 1
) AS o ON true

-- name: insert_merchant_events
-- One array per column; what is there already stays.
INSERT INTO merchant_events (
    id, merchant_id, intent_id, refunded_minor, occurred_at, intent_version, live, status, type, body
)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::integer[],
    $7::boolean[], $8::text[], $9::text[], $10::bytea[]
)
ON CONFLICT DO NOTHING

-- name: insert_webhook_deliveries
-- One array per column; an endpoint is told of an event once.
WITH made AS (
    INSERT INTO webhook_deliveries (id, endpoint_id, event_id, merchant_id, live, event_type)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::boolean[], $6::text[])
    ON CONFLICT DO NOTHING
    RETURNING id, endpoint_id
)
INSERT INTO webhook_queue (delivery_id, endpoint_id, due_at)
SELECT m.id, m.endpoint_id, now() FROM made AS m

-- name: claim_deliveries
-- Take what is due, for a time. $1 endpoints with less room than $3, $2 the room of each, $3 the
-- room of every other, $4 at most in all, $5 milliseconds after which a claim is good for nothing.
-- `waiting` hops from endpoint to endpoint in the index, so that the cost is of endpoints that have
-- something waiting, however much it is.
WITH RECURSIVE waiting AS (
    (SELECT q.endpoint_id FROM webhook_queue AS q ORDER BY q.endpoint_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT q.endpoint_id FROM webhook_queue AS q
        WHERE q.endpoint_id > w.endpoint_id
        ORDER BY q.endpoint_id
        LIMIT 1
    )
    FROM waiting AS w
    WHERE w.endpoint_id IS NOT NULL
),
due AS (
    SELECT p.delivery_id
    FROM waiting AS w
    LEFT JOIN unnest($1::uuid[], $2::integer[]) AS r (endpoint_id, room)
        ON r.endpoint_id = w.endpoint_id
    CROSS JOIN LATERAL (
        SELECT q.delivery_id FROM webhook_queue AS q
        WHERE q.endpoint_id = w.endpoint_id AND q.due_at <= now()
        ORDER BY q.due_at
        LIMIT coalesce(r.room, $3::integer)
        FOR UPDATE SKIP LOCKED
    ) AS p
    WHERE w.endpoint_id IS NOT NULL
    LIMIT $4::integer
)
UPDATE webhook_queue AS q
SET due_at = now() + $5::integer * interval '1 millisecond'
FROM due AS p
JOIN webhook_deliveries AS d ON d.id = p.delivery_id
JOIN merchant_events AS e ON e.id = d.event_id
WHERE q.delivery_id = p.delivery_id
RETURNING d.id, d.endpoint_id, d.event_id, d.tries, d.failures, d.since, e.occurred_at, e.body

-- name: record_tries
-- What became of tries, and what follows from it. One array per column: deliveries, tries so far,
-- when each began, how long it took, status codes, reasons; then the delivery's new status, when it
-- is due (null: it is over), and failures in a row. A delivery that somebody else has tried since
-- stays as it is.
WITH tried AS (
    UPDATE webhook_deliveries AS d
    SET tries = r.number, status = r.status, failures = r.failures
    FROM unnest($1::uuid[], $2::integer[], $7::text[], $9::integer[])
        AS r (id, number, status, failures)
    WHERE d.id = r.id AND d.tries = r.number - 1
    RETURNING d.id
),
over AS (
    DELETE FROM webhook_queue AS q
    USING unnest($1::uuid[], $8::timestamptz[]) AS r (id, due_at), tried AS t
    WHERE q.delivery_id = r.id AND t.id = r.id AND r.due_at IS NULL
),
later AS (
    UPDATE webhook_queue AS q
    SET due_at = r.due_at
    FROM unnest($1::uuid[], $8::timestamptz[]) AS r (id, due_at)
    JOIN tried AS t ON t.id = r.id
    WHERE q.delivery_id = r.id AND r.due_at IS NOT NULL
)
INSERT INTO webhook_tries (delivery_id, number, started_at, duration_ms, status_code, reason)
SELECT r.id, r.number, r.started_at, r.duration_ms, r.status_code, r.reason
FROM unnest(
    $1::uuid[], $2::integer[], $3::timestamptz[], $4::integer[], $5::integer[], $6::text[]
) AS r (id, number, started_at, duration_ms, status_code, reason)
JOIN tried AS t ON t.id = r.id
ON CONFLICT DO NOTHING

-- name: cancel_deliveries
-- Deliveries that nobody wants any more. $1 deliveries.
WITH ended AS (
    DELETE FROM webhook_queue AS q
    USING unnest($1::uuid[]) AS r (id)
    WHERE q.delivery_id = r.id
    RETURNING q.delivery_id
)
UPDATE webhook_deliveries AS d
SET status = 'canceled'
FROM ended AS e
WHERE d.id = e.delivery_id

-- name: give_up_deliveries
-- What an endpoint that does not answer has waiting for too long. $1 endpoint, $2 since before.
WITH ended AS (
    DELETE FROM webhook_queue AS q
    USING webhook_deliveries AS d
    WHERE q.endpoint_id = $1::uuid AND d.id = q.delivery_id AND d.since < $2::timestamptz
    RETURNING q.delivery_id
)
UPDATE webhook_deliveries AS d
SET status = 'failed'
FROM ended AS e
WHERE d.id = e.delivery_id

-- name: give_back_deliveries
-- Deliveries that were claimed and not tried. $1 deliveries.
UPDATE webhook_queue AS q
SET due_at = now()
FROM unnest($1::uuid[]) AS r (id)
WHERE q.delivery_id = r.id

-- name: webhook_targets
-- Where to send, and what signs it. $1 endpoints.
SELECT
    e.id, e.live, e.status = 'enabled' AS enabled, e.url, e.sealed_secret,
    CASE WHEN e.previous_until > now() THEN e.previous_sealed_secret END AS previous
FROM unnest($1::uuid[]) AS r (id)
JOIN webhook_endpoints AS e ON e.id = r.id

-- name: disable_gone_endpoints
-- Endpoints that answered 410. $1 endpoints.
UPDATE webhook_endpoints AS e
SET status = 'disabled', disabled_reason = 'gone', updated_at = now()
FROM unnest($1::uuid[]) AS r (id)
WHERE e.id = r.id AND e.status = 'enabled'

-- name: forget_webhook_tries
-- Tries of old deliveries. $1 ids below this one, $2 at most.
DELETE FROM webhook_tries AS t
WHERE t.delivery_id IN (
    SELECT o.delivery_id FROM webhook_tries AS o
    WHERE o.delivery_id < $1::uuid
    ORDER BY o.delivery_id
    LIMIT $2::bigint
)

-- name: forget_webhook_deliveries
-- Old deliveries that are over. $1 ids below this one, $2 at most.
DELETE FROM webhook_deliveries AS d
WHERE d.id IN (
    SELECT o.id FROM webhook_deliveries AS o
    WHERE o.id < $1::uuid AND o.status <> 'pending'
    ORDER BY o.id
    LIMIT $2::bigint
)

-- name: forget_merchant_events
-- Old events. $1 before, $2 at most.
DELETE FROM merchant_events AS e
WHERE e.id IN (
    SELECT o.id FROM merchant_events AS o WHERE o.occurred_at < $1::timestamptz LIMIT $2::bigint
)

-- name: create_webhook_endpoint
-- $1 id, $2 merchant, $3 live, $4 url, $5 description, $6 types, $7 version, $8 sealed secret,
-- $9 key, $10 request hash, $11 at most so many of this merchant and mode. No row: the key is
-- taken, or there are so many.
INSERT INTO webhook_endpoints (
    id, merchant_id, live, url, description, event_types, api_version, sealed_secret,
    creation_key, creation_hash
)
SELECT
    $1::uuid, $2::uuid, $3::boolean, $4::text, $5::text, $6::text[], $7::text, $8::bytea, $9::uuid,
    $10::uuid
WHERE (
    SELECT count(*) FROM webhook_endpoints AS e
    WHERE e.merchant_id = $2::uuid AND e.live = $3::boolean
) < $11::integer
ON CONFLICT ON CONSTRAINT webhook_endpoints_key DO NOTHING
RETURNING id

-- name: webhook_endpoint_of_key
-- $1 merchant, $2 key.
SELECT e.id, e.creation_hash, e.roll_key IS NOT NULL AS rolled
FROM webhook_endpoints AS e
WHERE e.merchant_id = $1::uuid AND e.creation_key = $2::uuid

-- name: list_webhook_endpoints
-- $1 merchant, $2 live, $3 ids below this one, $4 at most.
SELECT
    e.id, e.created_at, e.updated_at, e.previous_until, e.live, e.status, e.disabled_reason, e.url,
    e.description, e.event_types, e.api_version, e.sealed_secret, e.roll_key, e.roll_hash
FROM webhook_endpoints AS e
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean AND e.id < $3::uuid
ORDER BY e.id DESC
LIMIT $4::bigint

-- name: get_webhook_endpoint
-- $1 merchant, $2 live, $3 id.
SELECT
    e.id, e.created_at, e.updated_at, e.previous_until, e.live, e.status, e.disabled_reason, e.url,
    e.description, e.event_types, e.api_version, e.sealed_secret, e.roll_key, e.roll_hash
FROM webhook_endpoints AS e
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean AND e.id = $3::uuid

-- name: update_webhook_endpoint
-- $1 merchant, $2 live, $3 id, $4 url, $5 description, $6 types, $7 enabled; null leaves a column.
UPDATE webhook_endpoints AS e
SET url = coalesce($4::text, e.url),
    description = coalesce($5::text, e.description),
    event_types = coalesce($6::text[], e.event_types),
    status = CASE $7::boolean WHEN true THEN 'enabled' WHEN false THEN 'disabled'
        ELSE e.status END,
    disabled_reason = CASE $7::boolean WHEN true THEN ''
        WHEN false THEN CASE e.disabled_reason WHEN '' THEN 'merchant' ELSE e.disabled_reason END
        ELSE e.disabled_reason END,
    updated_at = now()
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean AND e.id = $3::uuid
RETURNING id

-- name: delete_webhook_endpoint
-- $1 merchant, $2 live, $3 id.
DELETE FROM webhook_endpoints AS e
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean AND e.id = $3::uuid
RETURNING id

-- name: roll_webhook_secret
-- $1 merchant, $2 live, $3 id, $4 the new secret, sealed, $5 milliseconds for the old one, $6 key,
-- $7 request hash. No row: there is no such endpoint, or the key has rolled it.
UPDATE webhook_endpoints AS e
SET previous_sealed_secret = CASE WHEN $5::bigint > 0 THEN e.sealed_secret END,
    previous_until = CASE WHEN $5::bigint > 0
        THEN now() + $5::bigint * interval '1 millisecond' END,
    sealed_secret = $4::bytea, roll_key = $6::uuid, roll_hash = $7::uuid, updated_at = now()
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean AND e.id = $3::uuid
    AND e.roll_key IS DISTINCT FROM $6::uuid
RETURNING id

-- name: list_merchant_events
-- Newest first. $1 merchant, $2 live, $3 before this instant, or $4 at it with a lower id, $5 types
-- (empty: all), $6 at most.
SELECT e.id, e.occurred_at, e.body
FROM merchant_events AS e
WHERE e.merchant_id = $1::uuid AND e.live = $2::boolean
    AND (e.occurred_at, e.id) < ($3::timestamptz, $4::uuid)
    AND (cardinality($5::text[]) = 0 OR e.type = ANY ($5::text[]))
ORDER BY e.occurred_at DESC, e.id DESC
LIMIT $6::bigint

-- name: list_webhook_deliveries
-- Newest first. $1 merchant, $2 live, $3 ids below this one, $4 endpoint or null, $5 event or
-- null, $6 status or empty, $7 at most.
SELECT
    d.id, d.endpoint_id, d.event_id, d.event_type, d.status, d.tries, q.due_at, d.created_at
FROM webhook_deliveries AS d
LEFT JOIN webhook_queue AS q ON q.delivery_id = d.id
WHERE d.merchant_id = $1::uuid AND d.live = $2::boolean AND d.id < $3::uuid
    AND ($4::uuid IS NULL OR d.endpoint_id = $4::uuid)
    AND ($5::uuid IS NULL OR d.event_id = $5::uuid)
    AND $6::text IN ('', d.status)
ORDER BY d.id DESC
LIMIT $7::bigint

-- name: get_webhook_delivery
-- $1 merchant, $2 live, $3 id.
SELECT
    d.id, d.endpoint_id, d.event_id, d.event_type, d.status, d.tries, q.due_at, d.created_at
FROM webhook_deliveries AS d
LEFT JOIN webhook_queue AS q ON q.delivery_id = d.id
WHERE d.merchant_id = $1::uuid AND d.live = $2::boolean AND d.id = $3::uuid

-- name: read_webhook_tries
-- The newest tries of some deliveries. $1 deliveries, $2 at most of each.
SELECT t.delivery_id, t.number, t.started_at, t.duration_ms, t.status_code, t.reason
FROM unnest($1::uuid[]) AS r (delivery_id)
CROSS JOIN LATERAL (
    SELECT * FROM webhook_tries AS u
    WHERE u.delivery_id = r.delivery_id
    ORDER BY u.number DESC
    LIMIT $2::bigint
) AS t
ORDER BY t.delivery_id, t.number

-- name: replay_webhook_delivery
-- Try anew what is over. $1 merchant, $2 live, $3 id, $4 key. Nothing happens where there is none
-- such, it is on its way, or was replayed under that key.
WITH again AS (
    UPDATE webhook_deliveries AS d
    SET since = now(), failures = 0, status = 'pending', replay_key = $4::uuid
    WHERE d.merchant_id = $1::uuid AND d.live = $2::boolean AND d.id = $3::uuid
        AND d.status <> 'pending' AND d.replay_key IS DISTINCT FROM $4::uuid
    RETURNING d.id, d.endpoint_id
)
INSERT INTO webhook_queue (delivery_id, endpoint_id, due_at)
SELECT a.id, a.endpoint_id, now() FROM again AS a

-- name: operator_endpoints
-- Every endpoint, or one merchant's. $1 merchant or null, $2 ids above this one, $3 at most.
SELECT
    e.id, e.merchant_id, e.live, e.status, e.disabled_reason, e.url, e.event_types, e.created_at
FROM webhook_endpoints AS e
WHERE ($1::uuid IS NULL OR e.merchant_id = $1::uuid) AND e.id > $2::uuid
ORDER BY e.id
LIMIT $3::bigint

-- name: operator_deliveries
-- The newest deliveries, or one endpoint's. $1 endpoint or null, $2 status or empty, $3 at most.
SELECT
    d.id, d.endpoint_id, d.event_id, d.event_type, d.status, d.tries, q.due_at, d.created_at
FROM webhook_deliveries AS d
LEFT JOIN webhook_queue AS q ON q.delivery_id = d.id
WHERE ($1::uuid IS NULL OR d.endpoint_id = $1::uuid) AND $2::text IN ('', d.status)
ORDER BY d.id DESC
LIMIT $3::bigint

-- name: replay_webhooks
-- $1 endpoint, $2 made from, $3 made before, $4 only those that failed, $5 operator, $6 note.
SELECT operator_webhook_replay(
    $1::uuid, $2::timestamptz, $3::timestamptz, $4::boolean, $5::text, $6::text
)

-- name: switch_webhook_endpoint
-- $1 endpoint, $2 on, $3 operator, $4 note. Empty, or why not.
SELECT operator_webhook_switch($1::uuid, $2::boolean, $3::text, $4::text)
