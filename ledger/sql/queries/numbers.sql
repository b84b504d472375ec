-- name: lock_stan_blocks
-- Let one caller at a time cut the STANs of a (network, acquirer id) into blocks. $1, $2.
SELECT pg_advisory_xact_lock(hashtextextended('stan_blocks/' || $1::text || '/' || $2::text, 0))

-- name: cut_stan_blocks
-- Cut 000001 to 999999 into blocks, once for ever: other sizes would overlap those in use.
-- $1 network, $2 acquirer id, $3 STANs a block.
INSERT INTO stan_blocks (network, acquirer_id, first_stan, stan_count)
SELECT $1::text, $2::text, first, least($3::integer, 1000000 - first)
FROM generate_series(1, 999999, $3::integer) AS first
WHERE NOT EXISTS (
    SELECT FROM stan_blocks WHERE network = $1::text AND acquirer_id = $2::text
)

-- name: take_stan_block
-- Take the block that may be used soonest, and move its floor past the last second it may be used
-- in. $1 network, $2 acquirer id, $3 now, $4 seconds of use. Returns first, count, floor, ceiling.
WITH soonest AS MATERIALIZED (
    SELECT b.first_stan, b.floor_at
    FROM stan_blocks AS b
    WHERE b.network = $1::text AND b.acquirer_id = $2::text
    ORDER BY b.floor_at, b.first_stan
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE stan_blocks AS b
SET floor_at = greatest(s.floor_at, $3::timestamptz) + make_interval(secs => $4::integer + 1)
FROM soonest AS s
WHERE b.network = $1::text AND b.acquirer_id = $2::text AND b.first_stan = s.first_stan
RETURNING b.first_stan, b.stan_count, s.floor_at, b.floor_at - interval '1 second'
