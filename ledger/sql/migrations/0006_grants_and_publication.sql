-- Who may do what. Insert-only tables grant no UPDATE and no DELETE to anybody but their owner;
-- rights to write stand on the parents alone, so no role writes to a partition directly.

GRANT USAGE ON SCHEMA public TO turnout_api, turnout_switch, turnout_admin, turnout_reader;

GRANT SELECT (
    id, created_at, name, status, country, settlement_currency, mcc, terminal_id,
    card_acceptor_id, name_location, browser_origins
) ON merchants TO turnout_api, turnout_switch, turnout_reader;
GRANT SELECT ON
    api_keys, payment_intents, payment_intent_details, attempts, outcomes, transaction_states,
    idempotency, merchant_references
TO turnout_api;
GRANT INSERT ON
    payment_intents, payment_intent_details, idempotency, merchant_references, intent_expiry
TO turnout_api;
-- A claim whose creation turned out to be a duplicate is given up in the same transaction.
GRANT DELETE ON merchant_references TO turnout_api;
-- The sealed card is nobody's business but the switch's.
GRANT SELECT (
    intent_id, id, request_id, amount_minor, created_at, intent_version, card_exp_year,
    card_exp_month, final_capture, type, currency, card_brand, card_last4
) ON transactions TO turnout_api, turnout_reader;

GRANT SELECT ON
    payment_intents, payment_intent_details, transactions, attempts, outcomes,
    transaction_states, idempotency, merchant_references, switch_leases, stan_blocks,
    intent_expiry, store_and_forward
TO turnout_switch;
-- What a payment is worth and whose it is stays as it was created.
GRANT UPDATE (
    live_transaction_id, capturable_minor, captured_minor, refund_pending_minor, refunded_minor,
    disputed_minor, updated_at, capture_before, version, charge_count, reversing,
    cancel_requested, status, canceled_by
) ON payment_intents TO turnout_switch;
GRANT INSERT ON transactions, attempts, outcomes, idempotency TO turnout_switch;
GRANT INSERT, UPDATE ON switch_leases, stan_blocks TO turnout_switch;
GRANT INSERT, UPDATE, DELETE ON intent_expiry, store_and_forward TO turnout_switch;
GRANT DELETE ON merchant_references TO turnout_switch;
GRANT EXECUTE ON FUNCTION ensure_partitions TO turnout_switch;

GRANT SELECT, INSERT, UPDATE ON merchants, api_keys TO turnout_admin;

GRANT SELECT ON
    payment_intents, payment_intent_details, attempts, outcomes, transaction_states,
    merchant_references, switch_leases, stan_blocks, intent_expiry, store_and_forward
TO turnout_reader;

-- For the alarm that these are not empty: the key alone.
GRANT SELECT (id) ON payment_intents_default TO turnout_switch, turnout_reader;
GRANT SELECT (intent_id) ON
    payment_intent_details_default, transactions_default, attempts_default, outcomes_default
TO turnout_switch, turnout_reader;

-- The event stream: what consumers need. Never the sealed card, its digest or its fingerprint,
-- never idempotency.
CREATE PUBLICATION turnout_events FOR TABLE
    payment_intents,
    transactions (
        intent_id, id, request_id, amount_minor, created_at, intent_version, card_exp_year,
        card_exp_month, final_capture, type, currency, card_brand, card_last4
    ),
    attempts,
    outcomes
WITH (publish = 'insert, update', publish_via_partition_root = true);
