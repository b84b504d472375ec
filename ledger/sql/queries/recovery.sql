-- name: open_attempts
-- A page of one owner's attempts without any outcome, in id order, but for those in
-- store-and-forward: their rows there carry them on. $1 owner, $2 only ids above this one, $3 rows
-- at most.
SELECT
    a.intent_id, a.id, a.transaction_id, t.request_id, a.amount_minor, a.currency, a.network,
    a.acquirer_id, a.mti, a.stan, a.rrn, a.de7, a.epoch, a.deadline_at, a.kind, t.type
FROM attempts AS a
CROSS JOIN LATERAL (
    SELECT x.request_id, x.type FROM transactions AS x
    WHERE x.intent_id = a.intent_id AND x.id = a.transaction_id
    LIMIT 1
) AS t
LEFT JOIN LATERAL (
    SELECT y.phase FROM outcomes AS y
    WHERE y.intent_id = a.intent_id AND y.attempt_id = a.id
    LIMIT 1
) AS o ON true
WHERE a.owner = $1::text AND a.id > $2::uuid AND o.phase IS NULL
    AND NOT EXISTS (SELECT FROM store_and_forward AS f WHERE f.attempt_id = a.id)
ORDER BY a.id
LIMIT $3::bigint

-- name: open_captures
-- A page of one owner's captures in store-and-forward without any outcome, in id order. Their rows
-- there carry their messages on, but nobody has said yet that their outcome is not known. $1 owner,
-- $2 only ids above this one, $3 rows at most.
SELECT
    a.intent_id, a.id, a.transaction_id, t.request_id, a.amount_minor, a.currency, a.network,
    a.acquirer_id, a.mti, a.stan, a.rrn, a.de7, a.epoch, a.deadline_at, a.kind, t.type
FROM store_and_forward AS s
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS b WHERE b.intent_id = s.intent_id AND b.id = s.attempt_id LIMIT 1
) AS a
CROSS JOIN LATERAL (
    SELECT x.request_id, x.type FROM transactions AS x
    WHERE x.intent_id = s.intent_id AND x.id = s.transaction_id
    LIMIT 1
) AS t
LEFT JOIN LATERAL (
    SELECT y.phase FROM outcomes AS y
    WHERE y.intent_id = s.intent_id AND y.attempt_id = s.attempt_id
    LIMIT 1
) AS o ON true
WHERE s.owner = $1::text AND s.kind = 'request' AND s.attempt_id > $2::uuid
    AND t.type = 'capture' AND o.phase IS NULL
ORDER BY s.attempt_id
LIMIT $3::bigint

-- name: newest_attempt
-- The newest attempt of an owner, if any: its id, and the newest RRN that was drawn with one. What
-- follows a payment carries an RRN that may be weeks old; only the requests of charges,
-- verifications and refunds begin a life of their own. $1 owner.
SELECT
    newest.id,
    coalesce(
        (
            SELECT b.rrn FROM attempts AS b
            WHERE b.owner = $1::text AND b.kind = 'request' AND b.mti IN ('0100', '0200')
            ORDER BY b.id DESC
            LIMIT 1
        ),
        ''
    ) AS rrn
FROM (
    SELECT a.id FROM attempts AS a WHERE a.owner = $1::text ORDER BY a.id DESC LIMIT 1
) AS newest

-- name: find_attempts
-- Attempts by the numbers of an answer: found ones only, with their place. $1 owner of the first
-- attempt under the RRN, $2 networks, $3 RRNs, $4 STANs, $5 DE 7s, $6 lowest and $7 highest id that
-- the first can have: its id and the RRN are drawn together, so no index on RRNs is needed. What
-- follows under the same RRN, such as a reversal, comes later but belongs to the same intent. Last
-- come the merchant's elements and the request that began the life under the RRN: an answer echoes
-- them, or names it.
SELECT
    r.place, a.intent_id, a.id, a.transaction_id, t.request_id, a.amount_minor, a.currency,
    a.network, a.acquirer_id, a.mti, a.stan, a.rrn, a.de7, a.epoch, a.deadline_at, a.kind, t.type,
    coalesce(m.terminal_id, ''), coalesce(m.card_acceptor_id, ''), coalesce(o.mti, ''),
    coalesce(o.stan, ''), coalesce(o.de7, ''), coalesce(o.acquirer_id, '')
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::uuid[])
    WITH ORDINALITY AS r (network, rrn, stan, de7, lowest, highest, place)
CROSS JOIN LATERAL (
    SELECT b.intent_id FROM attempts AS b
    WHERE b.owner = $1::text AND b.id BETWEEN r.lowest AND r.highest
        AND b.rrn = r.rrn AND b.network = r.network
    LIMIT 1
) AS first
CROSS JOIN LATERAL (
    SELECT * FROM attempts AS c
    WHERE c.intent_id = first.intent_id AND c.rrn = r.rrn AND c.stan = r.stan AND c.de7 = r.de7
        AND c.network = r.network
    LIMIT 1
) AS a
CROSS JOIN LATERAL (
    SELECT x.request_id, x.type FROM transactions AS x
    WHERE x.intent_id = a.intent_id AND x.id = a.transaction_id
    LIMIT 1
) AS t
LEFT JOIN LATERAL (
    SELECT n.terminal_id, n.card_acceptor_id
    FROM payment_intents AS p
    JOIN merchants AS n ON n.id = p.merchant_id
    WHERE p.id = a.intent_id
    LIMIT 1
) AS m ON true
LEFT JOIN LATERAL (
    SELECT d.mti, d.stan, d.de7, d.acquirer_id FROM attempts AS d
    WHERE d.intent_id = a.intent_id AND d.rrn = a.rrn AND d.kind = 'request'
    ORDER BY d.id
    LIMIT 1
) AS o ON true
