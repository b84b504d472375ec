-- The payment itself: one mutable row, its details, and the insert-only history under it.
--
-- Every child row carries intent_id. All five tables are partitioned by range on the intent's id,
-- a UUIDv7, which is to say by the month the intent was created in; so a payment lies in the same
-- month of each table, and keys contain the partition key. The DEFAULT partitions are empty or
-- alarm. There are no foreign keys and no row triggers: children are written only by statements
-- that hold the intent's row lock.
--
-- Columns stand widest first, keys before all: no padding, and the key has a fixed place.

CREATE TABLE payment_intents (
    id                    uuid        NOT NULL PRIMARY KEY,
    merchant_id           uuid        NOT NULL,
    live_transaction_id   uuid,
    amount_minor          bigint      NOT NULL,
    capturable_minor      bigint      NOT NULL DEFAULT 0,
    captured_minor        bigint      NOT NULL DEFAULT 0,
    refund_pending_minor  bigint      NOT NULL DEFAULT 0,
    refunded_minor        bigint      NOT NULL DEFAULT 0,
    disputed_minor        bigint      NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    capture_before        timestamptz,
    version               integer     NOT NULL DEFAULT 1,
    charge_count          smallint    NOT NULL DEFAULT 0,
    live                  boolean     NOT NULL,
    allow_partial         boolean     NOT NULL DEFAULT false,
    reversing             boolean     NOT NULL DEFAULT false,
    cancel_requested      boolean     NOT NULL DEFAULT false,
    currency              text        NOT NULL,
    status                text        NOT NULL DEFAULT 'created',
    capture_method        text        NOT NULL DEFAULT 'automatic',
    canceled_by           text,
    CONSTRAINT payment_intents_status CHECK (status IN (
        'created', 'processing', 'pending_verification', 'authorized', 'failed', 'succeeded',
        'canceled'
    )),
    CONSTRAINT payment_intents_capture_method CHECK (capture_method IN ('automatic', 'manual')),
    CONSTRAINT payment_intents_currency CHECK (octet_length(currency) = 3),
    CONSTRAINT payment_intents_amount CHECK (amount_minor BETWEEN 1 AND 999999999999),
    CONSTRAINT payment_intents_captured CHECK (
        capturable_minor >= 0 AND captured_minor >= 0
        AND capturable_minor + captured_minor <= amount_minor
    ),
    CONSTRAINT payment_intents_refunded CHECK (
        refund_pending_minor >= 0 AND refunded_minor >= 0 AND disputed_minor >= 0
        AND refund_pending_minor + refunded_minor + disputed_minor <= captured_minor
    ),
    -- The mutex: taken while an operation is live, free when the intent is over. A verification
    -- holds it too, with the intent still `created`.
    CONSTRAINT payment_intents_mutex CHECK (
        CASE
            WHEN status IN ('processing', 'pending_verification')
                THEN live_transaction_id IS NOT NULL
            WHEN status IN ('succeeded', 'canceled') THEN live_transaction_id IS NULL
            ELSE true
        END
        AND (NOT reversing OR live_transaction_id IS NOT NULL)
    ),
    CONSTRAINT payment_intents_counts CHECK (version >= 1 AND charge_count >= 0),
    CONSTRAINT payment_intents_canceled_by CHECK ((status = 'canceled') = (canceled_by IS NOT NULL))
) PARTITION BY RANGE (id);

COMMENT ON TABLE payment_intents IS
    'The one mutable row of a payment; its row lock and live_transaction_id are the mutex';
COMMENT ON COLUMN payment_intents.version IS
    '+1 on each change: the sequence number that events and webhooks carry';
COMMENT ON COLUMN payment_intents.reversing IS
    'set by the update that inserts a 0400 or 0420 for the live charge';

-- For lists by merchant: ids are in time order. No index names a column that changes, or updates
-- could not stay on their page (HOT).
CREATE INDEX payment_intents_merchant ON payment_intents (merchant_id, live, id);

CREATE TABLE payment_intent_details (
    intent_id           uuid        NOT NULL PRIMARY KEY,
    request_id          uuid        NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    client_secret_hash  bytea       NOT NULL,
    merchant_reference  text,
    description         text,
    metadata            jsonb,
    CONSTRAINT payment_intent_details_secret CHECK (octet_length(client_secret_hash) = 32),
    CONSTRAINT payment_intent_details_reference
        CHECK (length(merchant_reference) BETWEEN 1 AND 255),
    CONSTRAINT payment_intent_details_description CHECK (length(description) <= 1000),
    CONSTRAINT payment_intent_details_metadata CHECK (octet_length(metadata::text) <= 4096)
) PARTITION BY RANGE (intent_id);

CREATE TABLE transactions (
    intent_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    request_id      uuid        NOT NULL,
    fingerprint     uuid,
    card_digest     uuid,
    amount_minor    bigint      NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    intent_version  integer     NOT NULL,
    card_exp_year   smallint,
    card_exp_month  smallint,
    final_capture   boolean,
    type            text        NOT NULL,
    currency        text        NOT NULL,
    card_brand      text,
    card_last4      text,
    sealed_card     bytea,
    PRIMARY KEY (intent_id, id),
    CONSTRAINT transactions_card_digest UNIQUE (intent_id, card_digest),
    CONSTRAINT transactions_type CHECK (type IN (
        'charge', 'capture', 'cancel', 'refund', 'verification', 'adjustment', 'dispute'
    )),
    CONSTRAINT transactions_amount CHECK (
        CASE WHEN type = 'verification' THEN amount_minor = 0
             ELSE amount_minor BETWEEN 1 AND 999999999999 END
    ),
    CONSTRAINT transactions_card CHECK (
        card_exp_month BETWEEN 1 AND 12 AND card_exp_year BETWEEN 2000 AND 2199
        AND octet_length(card_last4) = 4 AND octet_length(sealed_card) <= 512
    ),
    CONSTRAINT transactions_charge_has_card CHECK (
        type NOT IN ('charge', 'verification')
        OR (card_digest IS NOT NULL AND sealed_card IS NOT NULL AND card_last4 IS NOT NULL)
    )
) PARTITION BY RANGE (intent_id);

COMMENT ON COLUMN transactions.card_digest IS
    '16-byte digest of the ciphertext as it came in: a ciphertext is accepted once per intent';
COMMENT ON COLUMN transactions.sealed_card IS
    'PAN and expiry sealed by the HSM; never published, never archived';
COMMENT ON COLUMN transactions.intent_version IS 'of the intent after the commit that wrote this';

CREATE TABLE attempts (
    intent_id       uuid        NOT NULL,
    id              uuid        NOT NULL,
    transaction_id  uuid        NOT NULL,
    amount_minor    bigint      NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    deadline_at     timestamptz NOT NULL,
    epoch           integer     NOT NULL,
    owner           text        NOT NULL,
    network         text        NOT NULL,
    acquirer_id     text        NOT NULL,
    mti             text        NOT NULL,
    stan            text        NOT NULL,
    rrn             text        NOT NULL,
    de7             text        NOT NULL,
    currency        text        NOT NULL,
    PRIMARY KEY (intent_id, id),
    CONSTRAINT attempts_numbers CHECK (
        octet_length(mti) = 4 AND octet_length(stan) = 6 AND octet_length(rrn) = 12
        AND octet_length(de7) = 10 AND octet_length(acquirer_id) <= 11
    ),
    CONSTRAINT attempts_amount CHECK (amount_minor BETWEEN 0 AND 999999999999)
) PARTITION BY RANGE (intent_id);

COMMENT ON TABLE attempts IS 'One message exchange with a network, written before the message';

-- Recovery reads one owner's attempts from a known id on.
CREATE INDEX attempts_owner ON attempts (owner, id);

CREATE TABLE outcomes (
    intent_id       uuid        NOT NULL,
    attempt_id      uuid        NOT NULL,
    transaction_id  uuid        NOT NULL,
    request_id      uuid        NOT NULL,
    at              timestamptz NOT NULL,
    approved_minor  bigint,
    intent_version  integer     NOT NULL,
    epoch           integer     NOT NULL,
    phase           smallint    NOT NULL,
    owner           text        NOT NULL,
    actor           text        NOT NULL,
    result          text        NOT NULL,
    from_status     text        NOT NULL,
    to_status       text        NOT NULL,
    intent_status   text        NOT NULL,
    response_code   text        NOT NULL DEFAULT '',
    approval_code   text        NOT NULL DEFAULT '',
    decline_code    text        NOT NULL DEFAULT '',
    advice          text        NOT NULL DEFAULT '',
    PRIMARY KEY (intent_id, attempt_id, phase),
    CONSTRAINT outcomes_phase_1 CHECK (phase <> 1 OR (
        result IN ('approved', 'partial', 'declined', 'not_sent', 'unknown')
        AND from_status IN ('pending')
    )),
    CONSTRAINT outcomes_phase_2 CHECK (phase <> 2 OR (
        result IN ('approved', 'declined', 'reversed', 'manual')
        AND from_status IN ('pending_verification', 'reversing')
    )),
    CONSTRAINT outcomes_phase CHECK (phase IN (1, 2)),
    CONSTRAINT outcomes_step CHECK (CASE from_status
        WHEN 'pending'
            THEN to_status IN ('succeeded', 'failed', 'pending_verification', 'reversing')
        WHEN 'pending_verification' THEN to_status IN ('succeeded', 'failed', 'reversing')
        WHEN 'reversing' THEN to_status IN ('reversed')
        ELSE false
    END),
    CONSTRAINT outcomes_codes CHECK (
        octet_length(response_code) <= 3 AND octet_length(approval_code) <= 6
        AND octet_length(decline_code) <= 64 AND octet_length(actor) BETWEEN 1 AND 64
    ),
    CONSTRAINT outcomes_advice CHECK (
        advice IN ('', 'retry_later', 'use_other_card', 'do_not_retry', 'authenticate')
    )
) PARTITION BY RANGE (intent_id);

COMMENT ON TABLE outcomes IS
    'Phase 1: the first result of an attempt. Phase 2: what an unknown one turned out to be';

CREATE TABLE payment_intents_default PARTITION OF payment_intents DEFAULT WITH (fillfactor = 50);
CREATE TABLE payment_intent_details_default PARTITION OF payment_intent_details DEFAULT;
CREATE TABLE transactions_default PARTITION OF transactions DEFAULT;
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;
CREATE TABLE outcomes_default PARTITION OF outcomes DEFAULT;

-- What a transaction is now: its row and its latest outcome.
CREATE VIEW transaction_states AS
SELECT
    t.id AS transaction_id,
    t.intent_id,
    t.type,
    coalesce(latest.to_status, 'pending') AS status,
    t.amount_minor,
    t.currency,
    coalesce(latest.response_code, '') AS response_code,
    coalesce(latest.approval_code, '') AS approval_code,
    coalesce(latest.decline_code, '') AS decline_code,
    coalesce(latest.advice, '') AS advice,
    coalesce(t.card_brand, '') AS card_brand,
    coalesce(t.card_last4, '') AS card_last4,
    coalesce(t.card_exp_month, 0) AS card_exp_month,
    coalesce(t.card_exp_year, 0) AS card_exp_year,
    t.created_at,
    coalesce(latest.at, t.created_at) AS updated_at
FROM transactions AS t
LEFT JOIN LATERAL (
    SELECT o.to_status, o.response_code, o.approval_code, o.decline_code, o.advice, o.at
    FROM outcomes AS o
    WHERE o.intent_id = t.intent_id AND o.transaction_id = t.id
    ORDER BY o.intent_version DESC, o.attempt_id DESC, o.phase DESC
    LIMIT 1
) AS latest ON true;
