-- Merchants over shards (ADR 0029): which shard a bucket of merchants creates its intents on.
--
-- Every ledger has these tables. `bucket_fence` says what this one may create; the directory
-- (`bucket_owners`, `bucket_tenures`) is in use on shard 0 alone. A ledger that nothing was said
-- to yet is the only one, and owns everything.

CREATE TABLE shard_identity (
    only_row  boolean  PRIMARY KEY DEFAULT true,
    shard     integer,
    alone     boolean  NOT NULL,
    CONSTRAINT shard_identity_only_row CHECK (only_row),
    CONSTRAINT shard_identity_shard CHECK (shard BETWEEN 0 AND 255)
);

COMMENT ON TABLE shard_identity IS
    'which shard this ledger is, once said for ever: no other may be taken for it by mistake';
COMMENT ON COLUMN shard_identity.alone IS
    'it holds payments from before this, whose ids name no shard: it cannot be one of several';

INSERT INTO shard_identity (alone) VALUES (EXISTS (SELECT FROM payment_intents));

CREATE TABLE bucket_fence (
    bucket  integer  PRIMARY KEY,
    epoch   integer  NOT NULL,
    owned   boolean  NOT NULL,
    CONSTRAINT bucket_fence_bucket CHECK (bucket BETWEEN 0 AND 4095)
);

COMMENT ON TABLE bucket_fence IS
    'read by every statement that creates intents, and locked exclusively to take a bucket away';
COMMENT ON COLUMN bucket_fence.epoch IS
    'the highest that this shard has heard of; what comes late with a lower one changes nothing';

INSERT INTO bucket_fence (bucket, epoch, owned)
SELECT bucket, 1, true FROM generate_series(0, 4095) AS bucket;

CREATE TABLE bucket_owners (
    bucket     integer      PRIMARY KEY,
    shard      integer      NOT NULL DEFAULT 0,
    epoch      integer      NOT NULL DEFAULT 1,
    since      timestamptz  NOT NULL DEFAULT now(),
    moving_to  integer,
    CONSTRAINT bucket_owners_bucket CHECK (bucket BETWEEN 0 AND 4095),
    CONSTRAINT bucket_owners_epoch CHECK (epoch >= 1),
    CONSTRAINT bucket_owners_moving CHECK (moving_to <> shard)
);

COMMENT ON COLUMN bucket_owners.epoch IS '+1 with each move: what the fences compare';
COMMENT ON COLUMN bucket_owners.moving_to IS 'a move that was begun and has not come this far';

INSERT INTO bucket_owners (bucket) SELECT bucket FROM generate_series(0, 4095) AS bucket;

CREATE TABLE bucket_tenures (
    bucket  integer      NOT NULL,
    epoch   integer      NOT NULL,
    shard   integer      NOT NULL,
    until   timestamptz  NOT NULL DEFAULT now(),
    PRIMARY KEY (bucket, epoch, shard)
);

COMMENT ON TABLE bucket_tenures IS
    'who owned a bucket before: asked for keys and references before something is created anew';

-- Say which shard this ledger is. The first to say that it is not shard 0 finds a ledger that
-- owns everything by itself, and closes it. `known`: the directory names that shard, so a ledger
-- that nothing was said to is not it. Empty is success, otherwise the reason.
CREATE FUNCTION shard_claim(number integer, known boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF number > 0 AND EXISTS (SELECT FROM shard_identity AS i WHERE i.shard IS NULL) THEN
        IF known THEN
            RETURN 'lost';
        ELSIF EXISTS (SELECT FROM payment_intents) THEN
            RETURN 'not_empty';
        END IF;
    END IF;
    UPDATE shard_identity AS i SET shard = number WHERE i.shard IS NULL;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM shard_identity AS i WHERE i.shard = number)
            THEN '' ELSE 'other_shard' END;
    END IF;
    IF number > 0 THEN
        UPDATE bucket_fence SET epoch = 0, owned = false;
        DELETE FROM bucket_owners;
    END IF;
    RETURN '';
END
$$;

-- The same for shard 0, which holds the directory. If its very first start has several shards,
-- every bucket is planned to move to its share of them; what is added later starts empty.
CREATE FUNCTION shard_found(shards integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    founded  boolean := EXISTS (SELECT FROM shard_identity AS i WHERE i.shard IS NOT NULL);
    answer   text := shard_claim(0, false);
BEGIN
    IF shards > 1 AND EXISTS (SELECT FROM shard_identity AS i WHERE i.alone) THEN
        RETURN 'alone';
    END IF;
    IF answer = '' AND NOT founded THEN
        UPDATE bucket_owners SET moving_to = bucket * shards / 4096
        WHERE bucket * shards / 4096 <> shard;
    END IF;
    RETURN answer;
END
$$;

-- The three steps of a move. Each may come twice, or late: epochs decide. They return how many
-- of the buckets are where the step wanted them.

-- Whoever creates intents holds a lock on `bucket_fence` until it commits, because it reads it.
-- So once this one has it, nothing is on its way, and whoever comes after sees the fence closed.
CREATE FUNCTION shard_take(buckets integer[], epochs integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
BEGIN
    LOCK TABLE bucket_fence IN ACCESS EXCLUSIVE MODE;
    UPDATE bucket_fence AS f SET owned = false, epoch = r.epoch
    FROM unnest(buckets, epochs) AS r (bucket, epoch)
    WHERE f.bucket = r.bucket AND f.epoch < r.epoch;
    RETURN (
        SELECT count(*) FROM unnest(buckets, epochs) AS r (bucket, epoch)
        JOIN bucket_fence AS f ON f.bucket = r.bucket AND f.epoch = r.epoch AND NOT f.owned
    );
END
$$;

-- In the directory. A shard 0 that nothing was created on yet is nobody to ask, for keys or lists.
CREATE FUNCTION shard_hand_over(buckets integer[], epochs integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    unused  boolean := NOT EXISTS (SELECT FROM idempotency)
        AND NOT EXISTS (SELECT FROM merchant_references)
        AND NOT EXISTS (SELECT FROM payment_intents);
BEGIN
    WITH moved AS (
        UPDATE bucket_owners AS o
        SET shard = o.moving_to, epoch = r.epoch, since = now(), moving_to = NULL
        FROM unnest(buckets, epochs) AS r (bucket, epoch), bucket_owners AS before
        WHERE o.bucket = r.bucket AND before.bucket = r.bucket
            AND o.epoch = r.epoch - 1 AND o.moving_to IS NOT NULL
        RETURNING o.bucket, before.epoch, before.shard
    )
    INSERT INTO bucket_tenures (bucket, epoch, shard)
    SELECT m.bucket, m.epoch, m.shard FROM moved AS m WHERE m.shard <> 0 OR NOT unused;
    RETURN (
        SELECT count(*) FROM unnest(buckets, epochs) AS r (bucket, epoch)
        JOIN bucket_owners AS o ON o.bucket = r.bucket AND o.epoch = r.epoch
    );
END
$$;

CREATE FUNCTION shard_give(buckets integer[], epochs integer[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE bucket_fence AS f SET owned = true, epoch = r.epoch
    FROM unnest(buckets, epochs) AS r (bucket, epoch)
    WHERE f.bucket = r.bucket AND f.epoch < r.epoch;
    RETURN (
        SELECT count(*) FROM unnest(buckets, epochs) AS r (bucket, epoch)
        JOIN bucket_fence AS f ON f.bucket = r.bucket AND f.epoch = r.epoch AND f.owned
    );
END
$$;

-- Where the directory was set back to a backup, the fences know better: see ledger.shards.steps.
CREATE FUNCTION shard_correct(
    buckets integer[], owners integer[], epochs integer[], former_buckets integer[],
    former_owners integer[]
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
BEGIN ATOMIC
    INSERT INTO bucket_tenures (bucket, epoch, shard)
    SELECT f.bucket, r.epoch - 1, f.shard
    FROM unnest(buckets, epochs) AS r (bucket, epoch)
    JOIN unnest(former_buckets, former_owners) AS f (bucket, shard) ON f.bucket = r.bucket
    ON CONFLICT DO NOTHING;
    UPDATE bucket_owners AS o
    SET shard = r.owner, epoch = r.epoch, since = now(), moving_to = NULL
    FROM unnest(buckets, owners, epochs) AS r (bucket, owner, epoch)
    WHERE o.bucket = r.bucket AND o.epoch < r.epoch;
END;

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action,
    ADD CONSTRAINT operator_actions_action CHECK (action IN (
        'saf_retry', 'saf_resolve', 'exception_close', 'relay_repair', 'stream_retry', 'shard_move'
    ));

-- An operator's part: buckets are to move. What follows is in the steps above.
CREATE FUNCTION operator_shard_move(
    buckets integer[], to_shard integer, what text, operator text, remark text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM bucket_owners AS o WHERE o.bucket = ANY (buckets) ORDER BY o.bucket FOR UPDATE;
    IF EXISTS (
        SELECT FROM bucket_owners AS o WHERE o.bucket = ANY (buckets) AND o.moving_to <> to_shard
    ) THEN
        RETURN 'moving';
    END IF;
    UPDATE bucket_owners AS o SET moving_to = to_shard
    WHERE o.bucket = ANY (buckets) AND o.shard <> to_shard AND o.moving_to IS NULL;
    IF NOT FOUND THEN
        RETURN 'not_elsewhere';
    END IF;
    INSERT INTO operator_actions (operator, action, resolution, note)
    VALUES (operator, 'shard_move', what, remark);
    RETURN '';
END
$$;

REVOKE ALL ON FUNCTION
    shard_claim, shard_found, shard_take, shard_hand_over, shard_give, shard_correct,
    operator_shard_move
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    shard_claim, shard_found, shard_take, shard_hand_over, shard_give, shard_correct,
    operator_shard_move
TO turnout_admin;
GRANT SELECT ON shard_identity, bucket_fence, bucket_owners, bucket_tenures
TO turnout_api, turnout_admin, turnout_reader;
