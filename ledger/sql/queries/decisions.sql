-- name: begin_decision
-- Open the transaction of a batch of decisions: what they saw is locked until they are written.
BEGIN

-- name: commit_decision
-- Make a batch of decisions durable.
COMMIT

-- name: abandon_decision
-- Give up the transaction of a batch of decisions.
ROLLBACK

-- name: hold_lease
-- Keep takeovers away until the transaction ends: one row, none if the lease has a newer epoch.
-- $1 switch, $2 epoch.
SELECT switch FROM switch_leases WHERE switch = $1::text AND epoch = $2::integer FOR KEY SHARE

-- name: lock_intents
-- Lock intents in id order, waiting, and read their rows. $1 ids, $2 lowest and $3 highest of them
-- (they prune partitions when the plan starts).
SELECT
    p.id, p.merchant_id, p.live_transaction_id, p.amount_minor, p.capturable_minor,
    p.captured_minor, p.refund_pending_minor, p.refunded_minor, p.disputed_minor, p.created_at,
    p.updated_at, p.capture_before, p.version, p.charge_count, p.live, p.allow_partial,
    p.reversing, p.cancel_requested, p.currency, p.status, p.capture_method, p.canceled_by
FROM payment_intents AS p
WHERE p.id = ANY ($1::uuid[]) AND p.id BETWEEN $2::uuid AND $3::uuid
ORDER BY p.id
FOR NO KEY UPDATE

-- name: find_held_intents
-- Which of these intents somebody has locked just now. $1 ids, $2 lowest and $3 highest of them.
WITH free AS MATERIALIZED (
    SELECT p.id FROM payment_intents AS p
    WHERE p.id = ANY ($1::uuid[]) AND p.id BETWEEN $2::uuid AND $3::uuid
    ORDER BY p.id
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT p.id FROM payment_intents AS p
WHERE p.id = ANY ($1::uuid[]) AND p.id BETWEEN $2::uuid AND $3::uuid
    AND p.id <> ALL (ARRAY(SELECT f.id FROM free AS f))

-- name: read_transaction_views
-- Every transaction of some intents and where it stands, oldest first. $1 intent ids, $2 lowest
-- and $3 highest of them.
SELECT
    t.intent_id, t.id, t.type, s.status, t.amount_minor, t.currency, t.final_capture,
    t.request_id, t.created_at, s.updated_at, s.card_brand, s.card_last4, s.card_exp_month,
    s.card_exp_year, s.response_code, s.approval_code, s.decline_code, s.advice,
    CASE WHEN s.amount_minor = t.amount_minor THEN 0 ELSE s.amount_minor END AS approved_minor,
    t.fingerprint, t.intent_version
FROM transactions AS t
CROSS JOIN LATERAL (
    SELECT * FROM transaction_states AS x
    WHERE x.intent_id = t.intent_id AND x.transaction_id = t.id
    LIMIT 1
) AS s
WHERE t.intent_id = ANY ($1::uuid[]) AND t.intent_id BETWEEN $2::uuid AND $3::uuid
ORDER BY t.intent_id, t.id

-- name: read_attempt_views
-- Every attempt of some intents with both its results, oldest first. $1 intent ids, $2 lowest and
-- $3 highest of them.
SELECT
    a.intent_id, a.id, a.transaction_id, a.kind, a.network, a.acquirer_id, a.mti, a.stan, a.rrn,
    a.de7, a.amount_minor, a.currency, a.owner, a.epoch, a.deadline_at, a.created_at,
    coalesce(first.result, '') AS result,
    coalesce(second.result, '') AS resolution,
    coalesce(second.response_code, first.response_code, '') AS response_code,
    coalesce(second.approval_code, first.approval_code, '') AS approval_code,
    coalesce(second.approved_minor, first.approved_minor, 0) AS approved_minor
FROM attempts AS a
LEFT JOIN LATERAL (
    SELECT o.result, o.response_code, o.approval_code, o.approved_minor
    FROM outcomes AS o
    WHERE o.intent_id = a.intent_id AND o.attempt_id = a.id AND o.phase = 1
    LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT o.result, o.response_code, o.approval_code, o.approved_minor
    FROM outcomes AS o
    WHERE o.intent_id = a.intent_id AND o.attempt_id = a.id AND o.phase = 2
    LIMIT 1
) AS second ON true
WHERE a.intent_id = ANY ($1::uuid[]) AND a.intent_id BETWEEN $2::uuid AND $3::uuid
ORDER BY a.intent_id, a.id

-- name: lock_saf_rows
-- The advices of some intents, oldest first; operators and senders wait until the decision is
-- written. $1 intent ids.
SELECT
    s.intent_id, s.attempt_id, s.transaction_id, s.kind, s.network, s.due_at, s.repeats, s.manual,
    s.resolution, s.resolved_by, s.intent_id, s.created_at, s.owner, s.epoch
FROM store_and_forward AS s
WHERE s.intent_id = ANY ($1::uuid[])
ORDER BY s.attempt_id
FOR UPDATE

-- name: lock_verification_rows
-- The open windows of inquiries of some intents, oldest first. $1 intent ids.
SELECT
    v.intent_id, v.attempt_id, v.transaction_id, v.network, v.due_at, v.window_ends_at,
    v.inquiries, v.intent_id, v.owner, v.epoch
FROM verifications AS v
WHERE v.intent_id = ANY ($1::uuid[])
ORDER BY v.attempt_id
FOR UPDATE

-- name: read_decision_keys
-- What stands under idempotency keys: found ones only, with their place. $1 merchant ids,
-- $2 key digests.
SELECT r.place, i.request_hash, i.transaction_id AS key_transaction_id, t.intent_version, s.*
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS r (merchant_id, key_digest, place)
CROSS JOIN LATERAL (
    SELECT k.request_hash, k.intent_id, k.transaction_id
    FROM idempotency AS k
    WHERE k.merchant_id = r.merchant_id AND k.key_digest = r.key_digest
    LIMIT 1
) AS i
LEFT JOIN LATERAL (
    SELECT x.intent_version
    FROM transactions AS x
    WHERE x.intent_id = i.intent_id AND x.id = i.transaction_id
    LIMIT 1
) AS t ON true
LEFT JOIN LATERAL (
    SELECT *
    FROM transaction_states AS y
    WHERE y.intent_id = i.intent_id AND y.transaction_id = i.transaction_id
    LIMIT 1
) AS s ON true

-- name: read_sealed_cards
-- The sealed cards of charges, for the HSM alone: found ones only. $1 intent ids,
-- $2 transaction ids.
SELECT t.id, t.intent_id, p.merchant_id, t.sealed_card
FROM unnest($1::uuid[], $2::uuid[]) AS r (intent_id, transaction_id)
CROSS JOIN LATERAL (
    SELECT x.id, x.intent_id, x.sealed_card
    FROM transactions AS x
    WHERE x.intent_id = r.intent_id AND x.id = r.transaction_id AND x.sealed_card IS NOT NULL
    LIMIT 1
) AS t
CROSS JOIN LATERAL (
    SELECT q.merchant_id FROM payment_intents AS q WHERE q.id = r.intent_id LIMIT 1
) AS p
