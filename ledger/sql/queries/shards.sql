-- name: read_directory
-- The directory of buckets, one row of arrays in the order of the buckets; on shard 0. A target of
-- -1: the bucket stays. Former: who owned a bucket before, in the order of its epochs.
SELECT
    (SELECT array_agg(o.shard ORDER BY o.bucket) FROM bucket_owners AS o) AS shards,
    (SELECT array_agg(o.epoch ORDER BY o.bucket) FROM bucket_owners AS o) AS epochs,
    (SELECT array_agg(coalesce(o.moving_to, -1) ORDER BY o.bucket) FROM bucket_owners AS o)
        AS targets,
    (SELECT coalesce(array_agg(t.bucket ORDER BY t.bucket, t.epoch), '{}') FROM bucket_tenures AS t)
        AS former_buckets,
    (SELECT coalesce(array_agg(t.shard ORDER BY t.bucket, t.epoch), '{}') FROM bucket_tenures AS t)
        AS former_shards

-- name: read_fence
-- What one shard may create: epochs and whether it owns, in the order of the buckets.
SELECT
    array_agg(f.epoch ORDER BY f.bucket) AS epochs,
    array_agg(f.owned ORDER BY f.bucket) AS owned
FROM bucket_fence AS f

-- name: claim_shard
-- Say which shard a ledger is; $1 number, $2 whether shard 0 knows of it. Empty is success.
SELECT shard_claim($1::integer, $2::boolean)

-- name: shard_is_known
-- Whether a shard owns buckets, or ever did, by the directory; on shard 0. $1 number.
SELECT
    EXISTS (SELECT FROM bucket_owners AS o WHERE o.shard = $1::integer)
    OR EXISTS (SELECT FROM bucket_tenures AS t WHERE t.shard = $1::integer)

-- name: read_identity
-- Which shard a ledger is, null where nobody has said it yet, and the latest epoch of its fence.
SELECT i.shard, (SELECT max(f.epoch) FROM bucket_fence AS f) FROM shard_identity AS i

-- name: found_shards
-- The same for shard 0; $1 how many shards there are.
SELECT shard_found($1::integer)

-- name: take_buckets
-- Step 1 of a move, on the shard that owned them. $1 buckets, $2 the epochs they get.
SELECT shard_take($1::integer[], $2::integer[])

-- name: hand_over_buckets
-- Step 2, in the directory. $1 buckets, $2 the epochs they get.
SELECT shard_hand_over($1::integer[], $2::integer[])

-- name: give_buckets
-- Step 3, on the shard that owns them now. $1 buckets, $2 their epochs.
SELECT shard_give($1::integer[], $2::integer[])

-- name: correct_directory
-- What the fences know and the directory does not. $1 buckets, $2 owners, $3 epochs, $4 and $5
-- buckets and their former owners.
SELECT shard_correct($1::integer[], $2::integer[], $3::integer[], $4::integer[], $5::integer[])

-- name: move_buckets
-- An operator's wish. $1 buckets, $2 the shard they go to, $3 which they are in words, $4 operator,
-- $5 note. Empty is success.
SELECT operator_shard_move($1::integer[], $2::integer, $3::text, $4::text, $5::text)

-- name: shard_moves
-- What operators wished, newest first; $1 rows at most.
SELECT a.at, a.operator, a.action, a.resolution, a.note
FROM operator_actions AS a
WHERE a.action = 'shard_move'
ORDER BY a.id DESC
LIMIT $1::bigint

-- name: copy_merchant
-- Give a shard its copy of a merchant, or bring it up to date. $1 id, $2 created at, $3 name,
-- $4 status, $5 country, $6 settlement currency, $7 mcc, $8 terminal id, $9 card acceptor id,
-- $10 name and location, $11 browser origins.
INSERT INTO merchants AS m (
    id, created_at, name, status, country, settlement_currency, mcc, terminal_id,
    card_acceptor_id, name_location, browser_origins
)
VALUES (
    $1::uuid, $2::timestamptz, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text,
    $9::text, $10::text, $11::text[]
)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, status = excluded.status, country = excluded.country,
    settlement_currency = excluded.settlement_currency, mcc = excluded.mcc,
    terminal_id = excluded.terminal_id, card_acceptor_id = excluded.card_acceptor_id,
    name_location = excluded.name_location, browser_origins = excluded.browser_origins
WHERE m IS DISTINCT FROM excluded
