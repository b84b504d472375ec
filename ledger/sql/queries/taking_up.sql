-- name: reopen_doubts
-- Open the windows of doubts anew where a question is left, and bring the others near that lie
-- further ahead than any can. $1 owner, $2 network, $3 now, $4 the end of a window that opens now,
-- $5 questions that a doubt has, $6 rows at most. What is done no longer answers to the condition.
UPDATE verifications AS v
SET window_ends_at = $4::timestamptz,
    due_at = CASE WHEN v.inquiries < $5::integer THEN $3::timestamptz ELSE $4::timestamptz END
FROM (
    SELECT x.attempt_id FROM verifications AS x
    WHERE x.owner = $1::text AND x.network = $2::text AND CASE
        WHEN x.inquiries < $5::integer THEN x.window_ends_at <> $4::timestamptz
        ELSE x.due_at > $4::timestamptz OR x.window_ends_at > $4::timestamptz
    END
    ORDER BY x.attempt_id
    LIMIT $6::bigint
    FOR UPDATE
) AS taken_up
WHERE v.attempt_id = taken_up.attempt_id

-- name: free_advices
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
) AS ahead
WHERE s.attempt_id = ahead.attempt_id
