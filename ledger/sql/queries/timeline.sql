-- name: read_timeline
-- Every fact of one intent's history, in no order: `ledger.timeline` makes its story of them.
-- $1 merchant id, $2 intent id, $3 mode. No rows: absent, of another merchant or mode.
-- A fact is a row of a table: the intent itself, a transaction with the first message that asked
-- for it, every further attempt, an outcome, and a cancel that is none of these. `version` is the
-- intent's after it, null where it changed none. `sends`: how often the message was handed to the
-- network, of those that are repeated.
WITH intent AS MATERIALIZED (
    SELECT * FROM payment_intents AS p
    WHERE p.id = $2::uuid AND p.merchant_id = $1::uuid AND p.live = $3::boolean
)
SELECT
    'created' AS fact, NULL::uuid AS key, 0::smallint AS phase, 1 AS version, p.created_at AS at,
    'created' AS status, 'api' AS actor, d.request_id, NULL::uuid AS transaction_id,
    '' AS transaction_type, '' AS from_status, '' AS transaction_status, '' AS kind,
    p.amount_minor, p.currency, '' AS network, '' AS mti, '' AS stan, '' AS rrn, '' AS de7,
    0 AS sends, false AS manual, '' AS result, '' AS response_code, '' AS approval_code,
    '' AS decline_code, '' AS advice, p.captured_minor
FROM intent AS p
JOIN payment_intent_details AS d ON d.intent_id = p.id
UNION ALL
SELECT
    'transaction', t.id, 0::smallint, t.intent_version, t.created_at,
    CASE WHEN t.type IN ('charge', 'capture') OR t.type = 'cancel' AND a.id IS NOT NULL
         THEN 'processing' ELSE '' END,
    'api', t.request_id, t.id,
    t.type, '', 'pending', coalesce(a.kind, ''),
    t.amount_minor, t.currency, a.network, a.mti, a.stan, a.rrn, a.de7,
    coalesce(s.repeats, 0), coalesce(s.manual, false), '', '', '',
    '', '', p.captured_minor
FROM intent AS p
JOIN transactions AS t ON t.intent_id = $2::uuid
LEFT JOIN LATERAL (
    SELECT * FROM attempts AS b
    WHERE b.intent_id = $2::uuid AND b.transaction_id = t.id AND b.kind = 'request'
    ORDER BY b.id
    LIMIT 1
) AS a ON true
LEFT JOIN store_and_forward AS s ON s.attempt_id = a.id
UNION ALL
SELECT
    'attempt', a.id, 0::smallint, a.intent_version, a.created_at,
    '', 'switch', NULL, t.id,
    t.type, '', CASE WHEN a.kind = 'reversal' THEN 'reversing' ELSE '' END, a.kind,
    a.amount_minor, a.currency, a.network, a.mti, a.stan, a.rrn, a.de7,
    coalesce(s.repeats, 0), coalesce(s.manual, false), '', '', '',
    '', '', p.captured_minor
FROM intent AS p
JOIN attempts AS a ON a.intent_id = $2::uuid
JOIN transactions AS t ON t.intent_id = $2::uuid AND t.id = a.transaction_id
LEFT JOIN store_and_forward AS s ON s.attempt_id = a.id
WHERE a.kind <> 'request' OR EXISTS (
    SELECT FROM attempts AS b
    WHERE b.intent_id = $2::uuid AND b.transaction_id = t.id AND b.kind = 'request' AND b.id < a.id
)
UNION ALL
SELECT
    'outcome', o.attempt_id, o.phase, o.intent_version, o.at,
    o.intent_status, o.actor, o.request_id, t.id,
    t.type, o.from_status, o.to_status, coalesce(a.kind, ''),
    coalesce(o.approved_minor, a.amount_minor, t.amount_minor), t.currency,
    a.network, a.mti, a.stan, a.rrn, a.de7,
    coalesce(o.sends, 0), false, o.result, o.response_code, o.approval_code,
    o.decline_code, o.advice, p.captured_minor
FROM intent AS p
JOIN outcomes AS o ON o.intent_id = $2::uuid
JOIN transactions AS t ON t.intent_id = $2::uuid AND t.id = o.transaction_id
LEFT JOIN attempts AS a ON a.intent_id = $2::uuid AND a.id = o.attempt_id
UNION ALL
SELECT
    'canceled', NULL, 0::smallint, p.version, p.updated_at,
    'canceled', p.canceled_by, NULL, NULL,
    '', '', '', '',
    p.amount_minor, p.currency, '', '', '', '', '',
    0, false, '', '', '',
    '', '', p.captured_minor
FROM intent AS p
WHERE p.canceled_by IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM outcomes AS o WHERE o.intent_id = p.id AND o.intent_version = p.version
    )
