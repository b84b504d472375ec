-- name: begin_settlement_day
-- A network has told its settlement date; told again it is the present one again. $1 network,
-- $2 date.
INSERT INTO settlement_days (network, settles_on)
VALUES ($1::text, ($2::text)::date)
ON CONFLICT (network, settles_on) DO UPDATE SET began_at = clock_timestamp()

-- name: present_settlement_days
-- The date that each network has told last.
SELECT DISTINCT ON (d.network) d.network, to_char(d.settles_on, 'YYYY-MM-DD')
FROM settlement_days AS d
ORDER BY d.network, d.began_at DESC

-- name: days_to_balance
-- Days and currencies of a network whose totals were not compared yet: those before its present
-- day, on which anything was settled for us. $1 network, $2 how many days back at most.
-- Outcomes are written within days of their settlement date: `at` bounds the scan.
WITH present AS (
    SELECT d.settles_on FROM settlement_days AS d
    WHERE d.network = $1::text
    ORDER BY d.began_at DESC
    LIMIT 1
),
settled AS (
    SELECT DISTINCT o.settles_on, a.currency
    FROM present AS p
    CROSS JOIN outcomes AS o
    CROSS JOIN LATERAL (
        SELECT x.currency, x.network FROM attempts AS x
        WHERE x.intent_id = o.intent_id AND x.id = o.attempt_id
        LIMIT 1
    ) AS a
    WHERE o.at >= p.settles_on - make_interval(days => $2::integer + 5)
        AND o.settles_on >= p.settles_on - $2::integer AND o.settles_on < p.settles_on
        AND a.network = $1::text
)
SELECT to_char(s.settles_on, 'YYYY-MM-DD'), s.currency
FROM settled AS s
WHERE NOT EXISTS (
    SELECT FROM settlement_balances AS b
    WHERE b.network = $1::text AND b.settles_on = s.settles_on AND b.currency = s.currency
)
ORDER BY s.settles_on, s.currency

-- name: note_balance
-- What a network answered to our totals. $1 network, $2 date, $3 currency, $4 in balance.
INSERT INTO settlement_balances (network, settles_on, currency, in_balance)
VALUES ($1::text, ($2::text)::date, $3::text, $4::boolean)
ON CONFLICT (network, settles_on, currency)
DO UPDATE SET compared_at = clock_timestamp(), in_balance = excluded.in_balance
