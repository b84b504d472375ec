-- name: insert_plan_keys
-- Take idempotency keys, in digest order. One that somebody else took since the views were read
-- raises: the decisions are then made again, on a view that shows it. $1 merchant ids,
-- $2 key digests, $3 request hashes, $4 intent ids, $5 transaction ids.
INSERT INTO idempotency (merchant_id, key_digest, request_hash, intent_id, transaction_id)
SELECT r.merchant_id, r.key_digest, r.request_hash, r.intent_id, r.transaction_id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[])
    AS r (merchant_id, key_digest, request_hash, intent_id, transaction_id)
ORDER BY r.key_digest

-- name: insert_plan_transactions
-- One array per column.
INSERT INTO transactions (
    intent_id, id, request_id, amount_minor, intent_version, final_capture, type, currency
)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::integer[], $6::boolean[], $7::text[],
    $8::text[]
)

-- name: insert_plan_attempts
-- $1 switch, $2 epoch, then one array per column.
INSERT INTO attempts (
    owner, epoch, intent_id, id, transaction_id, amount_minor, deadline_at, intent_version,
    network, acquirer_id, mti, stan, rrn, de7, currency, kind
)
SELECT $1::text, $2::integer, r.*
FROM unnest(
    $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[], $7::timestamptz[], $8::integer[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
    $16::text[]
) AS r

-- name: insert_plan_outcomes
-- $1 switch, $2 epoch, then one array per column; no approved amount is 0, settlement dates are days
-- since 2000. Runs before the rows of queues are dropped, which know how often a message was sent.
INSERT INTO outcomes (
    owner, epoch, intent_id, attempt_id, transaction_id, request_id, at, intent_version, phase,
    actor, result, from_status, to_status, intent_status, response_code, approval_code,
    decline_code, advice, approved_minor, settles_on, sends
)
SELECT
    $1::text, $2::integer, r.intent_id, r.attempt_id, r.transaction_id, r.request_id, r.at,
    r.intent_version, r.phase, r.actor, r.result, r.from_status, r.to_status, r.intent_status,
    r.response_code, r.approval_code, r.decline_code, r.advice, nullif(r.approved_minor, 0),
    date '2000-01-01' + r.settles_on, s.repeats
FROM unnest(
    $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::timestamptz[], $8::integer[],
    $9::smallint[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
    $16::text[], $17::text[], $18::text[], $19::bigint[], $20::integer[]
) AS r (
    intent_id, attempt_id, transaction_id, request_id, at, intent_version, phase, actor, result,
    from_status, to_status, intent_status, response_code, approval_code, decline_code, advice,
    approved_minor, settles_on
)
LEFT JOIN store_and_forward AS s ON s.attempt_id = r.attempt_id

-- name: change_intents
-- Give locked intents their new values, all columns that may change. $1 lowest and $2 highest id,
-- then one array per column.
UPDATE payment_intents AS p
SET version = p.version + 1, updated_at = now(),
    live_transaction_id = r.live_transaction_id, capturable_minor = r.capturable_minor,
    captured_minor = r.captured_minor, refund_pending_minor = r.refund_pending_minor,
    refunded_minor = r.refunded_minor, disputed_minor = r.disputed_minor,
    capture_before = r.capture_before, charge_count = r.charge_count, reversing = r.reversing,
    cancel_requested = r.cancel_requested, status = r.status, canceled_by = r.canceled_by
FROM unnest(
    $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
    $10::timestamptz[], $11::smallint[], $12::boolean[], $13::boolean[], $14::text[], $15::text[]
) AS r (
    id, live_transaction_id, capturable_minor, captured_minor, refund_pending_minor,
    refunded_minor, disputed_minor, capture_before, charge_count, reversing, cancel_requested,
    status, canceled_by
)
WHERE p.id = r.id AND p.id BETWEEN $1::uuid AND $2::uuid

-- name: add_saf_rows
-- $1 switch, $2 epoch, then one array per column.
INSERT INTO store_and_forward (
    owner, epoch, attempt_id, intent_id, transaction_id, due_at, repeats, manual, network, kind
)
SELECT $1::text, $2::integer, r.*
FROM unnest(
    $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::integer[], $8::boolean[],
    $9::text[], $10::text[]
) AS r

-- name: drop_saf_rows
-- $1 attempt ids.
DELETE FROM store_and_forward WHERE attempt_id = ANY ($1::uuid[])

-- name: change_saf_rows
-- When to look at advices again, how often they were sent, whether an operator must. What an
-- operator has found out stands. One array per column; $1 attempt ids.
UPDATE store_and_forward AS s
SET due_at = r.due_at, repeats = r.repeats, manual = r.manual
FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[], $4::boolean[])
    AS r (attempt_id, due_at, repeats, manual)
WHERE s.attempt_id = r.attempt_id AND s.resolution = ''

-- name: add_verification_rows
-- $1 switch, $2 epoch, then one array per column.
INSERT INTO verifications (
    owner, epoch, attempt_id, intent_id, transaction_id, due_at, window_ends_at, inquiries, network
)
SELECT $1::text, $2::integer, r.*
FROM unnest(
    $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::integer[],
    $9::text[]
) AS r

-- name: drop_verification_rows
-- $1 attempt ids.
DELETE FROM verifications WHERE attempt_id = ANY ($1::uuid[])

-- name: change_verification_rows
-- When to inquire again, how many inquiries were made. One array per column; $1 attempt ids.
UPDATE verifications AS v
SET due_at = r.due_at, inquiries = r.inquiries
FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[])
    AS r (attempt_id, due_at, inquiries)
WHERE v.attempt_id = r.attempt_id

-- name: expire_intents_at
-- Look at intents again when something of theirs is over. $1 instants, $2 intent ids.
INSERT INTO intent_expiry (due_at, intent_id)
SELECT * FROM unnest($1::timestamptz[], $2::uuid[])
ON CONFLICT DO NOTHING

-- name: free_references
-- Let merchant references be claimed again. $1 intent ids.
DELETE FROM merchant_references AS m
USING unnest($1::uuid[]) AS r (intent_id)
CROSS JOIN LATERAL (
    SELECT p.merchant_id, p.live FROM payment_intents AS p WHERE p.id = r.intent_id LIMIT 1
) AS i
CROSS JOIN LATERAL (
    SELECT e.merchant_reference FROM payment_intent_details AS e
    WHERE e.intent_id = r.intent_id
    LIMIT 1
) AS d
WHERE m.merchant_id = i.merchant_id AND m.live = i.live
    AND m.reference = d.merchant_reference AND m.intent_id = r.intent_id

-- name: open_exceptions
-- Tell a person, once per kind and attempt. One array per column; details are JSON.
INSERT INTO exceptions (kind, network, intent_id, transaction_id, attempt_id, detail)
SELECT r.kind, r.network, r.intent_id, r.transaction_id, r.attempt_id, r.detail::jsonb
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[])
    AS r (kind, network, intent_id, transaction_id, attempt_id, detail)
ON CONFLICT DO NOTHING

-- name: remember_declines
-- One array per column.
INSERT INTO declines (at, attempt_id, merchant_id, fingerprint, network, class)
SELECT * FROM unnest(
    $1::timestamptz[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[]
)
ON CONFLICT DO NOTHING
