-- Double entry: who has what, booked from the event stream by turnout_postings alone.

-- An account belongs to a merchant, to a network or to the platform; it has one purpose and one
-- currency, and test money never meets live money. Its sums are folded: raised once a batch, by
-- the one process that books, in the order of ids. No payment waits for them.
CREATE TABLE accounts (
    id             uuid        PRIMARY KEY,
    merchant_id    uuid        NOT NULL,
    debits_minor   bigint      NOT NULL DEFAULT 0,
    credits_minor  bigint      NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    live           boolean     NOT NULL,
    network        text        NOT NULL DEFAULT '',
    purpose        text        NOT NULL,
    currency       text        NOT NULL,
    CONSTRAINT accounts_one_each UNIQUE (merchant_id, live, network, purpose, currency),
    CONSTRAINT accounts_purpose CHECK (purpose IN (
        'scheme_receivable', 'bank_settlement', 'merchant_receivable',
        'merchant_pending', 'merchant_available', 'merchant_reserve', 'dispute_hold',
        'payout_in_transit',
        'fees', 'interchange', 'scheme_fees', 'chargeback_loss', 'suspense',
        'auth_hold', 'auth_control'
    )),
    CONSTRAINT accounts_currency CHECK (octet_length(currency) = 3),
    CONSTRAINT accounts_sums CHECK (debits_minor >= 0 AND credits_minor >= 0)
) WITH (fillfactor = 50);

COMMENT ON TABLE accounts IS 'Sums are folded from postings, in the transaction that adds them';
COMMENT ON COLUMN accounts.id IS
    'a digest of owner, mode, purpose and currency: ledger.postings.accounts';
COMMENT ON COLUMN accounts.merchant_id IS 'zeros where the account is a network''s or the platform''s';

-- One row moves one amount from the credit of one account to the debit of another, so every row
-- is balanced by itself.
CREATE TABLE postings (
    intent_id       uuid        NOT NULL,
    source_event    uuid        NOT NULL,
    leg             smallint    NOT NULL,
    pending         boolean     NOT NULL,
    live            boolean     NOT NULL,
    transaction_id  uuid        NOT NULL,
    debit_account   uuid        NOT NULL,
    credit_account  uuid        NOT NULL,
    amount_minor    bigint      NOT NULL,
    occurred_at     timestamptz NOT NULL,
    posted_at       timestamptz NOT NULL DEFAULT now(),
    currency        text        NOT NULL,
    kind            text        NOT NULL,
    PRIMARY KEY (intent_id, source_event, leg),
    CONSTRAINT postings_amount CHECK (amount_minor BETWEEN 1 AND 999999999999),
    CONSTRAINT postings_accounts CHECK (debit_account <> credit_account),
    CONSTRAINT postings_leg CHECK (leg BETWEEN 0 AND 99),
    CONSTRAINT postings_currency CHECK (octet_length(currency) = 3),
    CONSTRAINT postings_pending CHECK (
        pending = (kind IN ('hold', 'hold_posted', 'hold_released'))
    ),
    CONSTRAINT postings_kind CHECK (kind IN (
        'hold', 'hold_posted', 'hold_released',
        'capture', 'fee', 'refund', 'refund_available', 'refund_owed',
        'settlement', 'settlement_short', 'settlement_over', 'interchange', 'scheme_fee',
        'release', 'reserve', 'reserve_released',
        'dispute_hold', 'dispute_owed', 'chargeback', 'representment', 'dispute_won',
        'dispute_fee', 'chargeback_loss',
        'payout', 'payout_confirmed', 'payout_returned'
    ))
) PARTITION BY RANGE (intent_id);

COMMENT ON TABLE postings IS 'Transfers between accounts; insert-only. docs/ledger.md has the table';
COMMENT ON COLUMN postings.intent_id IS
    'the payment intent, or the payout: a UUIDv7, which puts the row into a month';
COMMENT ON COLUMN postings.source_event IS
    'the id of the event in the stream that this was booked for; with `leg` it is booked once';
COMMENT ON COLUMN postings.pending IS
    'of the memo pair auth_hold and auth_control: promised, no money yet; summed apart';
COMMENT ON COLUMN postings.transaction_id IS 'groups the legs of one money movement';
COMMENT ON COLUMN postings.occurred_at IS 'the commit of the source event';

CREATE TABLE postings_default PARTITION OF postings DEFAULT;

-- As in 0003, with one more table.
CREATE OR REPLACE FUNCTION ensure_partitions(first_instant timestamptz, months integer)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    parent  text;
    month   timestamptz;
    leaf    text;
    made    integer := 0;
BEGIN
    IF months NOT BETWEEN 1 AND 24 THEN
        RAISE EXCEPTION 'months must lie between 1 and 24' USING ERRCODE = '22023';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('turnout.ensure_partitions'));
    FOR step IN 0 .. months - 1 LOOP
        month := (date_trunc('month', first_instant AT TIME ZONE 'UTC')
            + make_interval(months => step)) AT TIME ZONE 'UTC';
        FOREACH parent IN ARRAY ARRAY[
            'payment_intents', 'payment_intent_details', 'transactions', 'attempts', 'outcomes',
            'postings'
        ] LOOP
            leaf := parent || to_char(month AT TIME ZONE 'UTC', '_YYYY_MM');
            CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) %s',
                leaf, parent,
                CASE WHEN parent = 'payment_intents' THEN 'WITH (fillfactor = 50)' ELSE '' END);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, leaf, lowest_id_at(month),
                lowest_id_at(((month AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;

-- The months that the other tables have by now.
DO $$
DECLARE
    month  text;
BEGIN
    FOR month IN
        SELECT right(p.inhrelid::regclass::text, 7) FROM pg_inherits AS p
        WHERE p.inhparent = 'outcomes'::regclass AND p.inhrelid <> 'outcomes_default'::regclass
        ORDER BY 1
    LOOP
        PERFORM ensure_partitions(
            to_date(month, 'YYYY_MM')::timestamp AT TIME ZONE 'UTC', 1);
    END LOOP;
END
$$;

ALTER PUBLICATION turnout_events ADD TABLE postings;

GRANT USAGE ON SCHEMA public TO turnout_postings;
-- What it books from: facts that never change once they are there. Never a card.
GRANT SELECT ON payment_intents, attempts, outcomes, store_and_forward TO turnout_postings;
GRANT SELECT (
    intent_id, id, request_id, amount_minor, created_at, intent_version, final_capture, type,
    currency
) ON transactions TO turnout_postings;
GRANT SELECT, INSERT ON postings, accounts, exceptions TO turnout_postings;
GRANT UPDATE (debits_minor, credits_minor, updated_at) ON accounts TO turnout_postings;
GRANT SELECT, INSERT, UPDATE ON stream_cursors TO turnout_postings;
GRANT SELECT, INSERT, UPDATE, DELETE ON stream_parked TO turnout_postings;

GRANT SELECT ON accounts TO turnout_api;
GRANT SELECT ON accounts, postings TO turnout_reader, turnout_admin;
GRANT SELECT ON postings TO turnout_relay;
GRANT SELECT (intent_id) ON postings_default TO turnout_switch, turnout_reader;
