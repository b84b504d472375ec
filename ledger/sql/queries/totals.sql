-- name: network_totals
-- What a network moved for us on one settlement date, by class: count and sum. $1 network,
-- $2 currency, $3 settlement date, as text.
-- Only messages that move money: a sale by 0200, captures and completions by 0220, refunds, and
-- acknowledged reversals of sales and refunds; an authorization moves none, nor does its reversal.
-- A reversed message that was never answered was never counted before: the network that says it
-- took something back (00, not 25) had it, so it counts on both sides.
-- Outcomes are written within days of their settlement date: `at` bounds the scan.
WITH settled AS (
    SELECT
        o.intent_id, o.transaction_id, a.kind, a.mti, t.type, a.amount_minor, o.response_code,
        coalesce(o.approved_minor, a.amount_minor) AS moved_minor
    FROM outcomes AS o
    CROSS JOIN LATERAL (
        SELECT * FROM attempts AS x
        WHERE x.intent_id = o.intent_id AND x.id = o.attempt_id
        LIMIT 1
    ) AS a
    CROSS JOIN LATERAL (
        SELECT y.type FROM transactions AS y
        WHERE y.intent_id = o.intent_id AND y.id = o.transaction_id
        LIMIT 1
    ) AS t
    WHERE o.settles_on = ($3::text)::date
        AND o.at >= ($3::text)::date - interval '5 days'
        AND o.at < ($3::text)::date + interval '5 days'
        AND o.result IN ('approved', 'partial')
        AND a.network = $1::text AND a.currency = $2::text
),
undone AS (
    SELECT s.type, s.amount_minor, first.resolution
    FROM settled AS s
    CROSS JOIN LATERAL (
        SELECT (
            SELECT o.result FROM outcomes AS o
            WHERE o.intent_id = b.intent_id AND o.attempt_id = b.id AND o.phase = 2
        ) AS resolution
        FROM attempts AS b
        WHERE b.intent_id = s.intent_id AND b.transaction_id = s.transaction_id
            AND b.kind = 'request' AND b.mti = '0200'
        ORDER BY b.id DESC
        LIMIT 1
    ) AS first
    WHERE s.kind = 'reversal' AND s.response_code = '00'
),
classed AS (
    SELECT
        CASE
            WHEN s.kind = 'completion' OR s.type = 'capture' THEN 'captures'
            WHEN s.type = 'refund' THEN 'refunds'
            WHEN s.type = 'charge' AND s.mti = '0200' THEN 'sales'
        END AS class,
        s.moved_minor AS amount_minor
    FROM settled AS s
    WHERE s.kind IN ('request', 'completion')
    UNION ALL
    SELECT CASE WHEN u.type = 'refund' THEN 'refund_reversals' ELSE 'sale_reversals' END,
        u.amount_minor
    FROM undone AS u
    UNION ALL
    SELECT CASE WHEN u.type = 'refund' THEN 'refunds' ELSE 'sales' END, u.amount_minor
    FROM undone AS u
    WHERE u.resolution = 'reversed'
)
SELECT c.class, count(*), sum(c.amount_minor)::bigint
FROM classed AS c
WHERE c.class IS NOT NULL
GROUP BY c.class
