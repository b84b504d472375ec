-- name: read_timeline
-- Every change of one intent, oldest first: one row per version of the intent row.
-- $1 merchant id, $2 intent id, $3 mode. No rows: absent, of another merchant or mode.
WITH intent AS MATERIALIZED (
    SELECT * FROM payment_intents AS p
    WHERE p.id = $2::uuid AND p.merchant_id = $1::uuid AND p.live = $3::boolean
)
SELECT
    1 AS version, p.created_at AS at, 'created' AS status, 'api' AS actor,
    d.request_id, NULL::uuid AS transaction_id, '' AS type,
    p.amount_minor, p.currency, '' AS network, '' AS mti, '' AS stan, '' AS rrn, '' AS de7,
    '' AS result, '' AS response_code, '' AS approval_code, '' AS decline_code, '' AS advice
FROM intent AS p
JOIN payment_intent_details AS d ON d.intent_id = p.id
UNION ALL
SELECT
    t.intent_version, t.created_at, 'processing', 'api',
    t.request_id, t.id, t.type,
    t.amount_minor, t.currency, a.network, a.mti, a.stan, a.rrn, a.de7,
    '', '', '', '', ''
FROM intent AS p
JOIN transactions AS t ON t.intent_id = p.id
LEFT JOIN LATERAL (
    SELECT * FROM attempts AS b
    WHERE b.intent_id = p.id AND b.transaction_id = t.id
    ORDER BY b.id
    LIMIT 1
) AS a ON true
UNION ALL
SELECT
    o.intent_version, o.at, o.intent_status, o.actor,
    o.request_id, o.transaction_id, '',
    coalesce(o.approved_minor, a.amount_minor), a.currency, a.network, a.mti, a.stan, a.rrn, a.de7,
    o.result, o.response_code, o.approval_code, o.decline_code, o.advice
FROM intent AS p
JOIN outcomes AS o ON o.intent_id = p.id
JOIN attempts AS a ON a.intent_id = p.id AND a.id = o.attempt_id
UNION ALL
SELECT
    p.version, p.updated_at, 'canceled', p.canceled_by,
    NULL, NULL, '',
    p.amount_minor, p.currency, '', '', '', '', '',
    '', '', '', '', ''
FROM intent AS p
WHERE p.canceled_by IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM outcomes AS o WHERE o.intent_id = p.id AND o.intent_version = p.version
    )
ORDER BY version
