-- name: free_stranded_doubts
-- Bring doubts near that lie further ahead than any can. $1 owner, $2 network, $3 now, $4 the
-- furthest that one can lie ahead, $5 questions that a doubt has, $6 rows at most.
-- Their windows begin anew; those with a question left are due at once.
UPDATE verifications AS v
SET window_ends_at = LEAST(v.window_ends_at, $4::timestamptz),
    due_at = CASE
        WHEN v.inquiries < $5::integer THEN $3::timestamptz
        ELSE LEAST(v.window_ends_at, $4::timestamptz)
    END
FROM (
    SELECT x.attempt_id FROM verifications AS x
    WHERE x.owner = $1::text AND x.network = $2::text
        AND (x.due_at > $4::timestamptz OR x.window_ends_at > $4::timestamptz)
    ORDER BY x.attempt_id
    LIMIT $6::bigint
    FOR UPDATE
) AS stranded
WHERE v.attempt_id = stranded.attempt_id

-- name: free_stranded_advices
-- Make advices due that are due further ahead than their schedule can have put them. $1 owner,
-- $2 network, $3 now, $4 how far ahead one can be due that was never sent, sent once and so on (the
-- last holds for every higher count), $5 rows at most.
UPDATE store_and_forward AS s
SET due_at = $3::timestamptz
FROM (
    SELECT x.attempt_id FROM store_and_forward AS x
    WHERE x.owner = $1::text AND x.network = $2::text AND x.due_at > $3::timestamptz
        AND x.due_at > ($4::timestamptz[])[
            LEAST(x.repeats + 1, cardinality($4::timestamptz[]))
        ]
    ORDER BY x.attempt_id
    LIMIT $5::bigint
    FOR UPDATE
) AS stranded
WHERE s.attempt_id = stranded.attempt_id
