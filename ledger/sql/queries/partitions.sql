-- name: ensure_partitions
-- Make the monthly partitions of the payment tables from $1 on, $2 months. Returns how many were
-- made.
SELECT ensure_partitions($1::timestamptz, $2::integer)

-- name: stray_rows
-- Whether each DEFAULT partition holds rows, which it never should.
SELECT
    EXISTS (SELECT id FROM payment_intents_default),
    EXISTS (SELECT intent_id FROM payment_intent_details_default),
    EXISTS (SELECT intent_id FROM transactions_default),
    EXISTS (SELECT intent_id FROM attempts_default),
    EXISTS (SELECT intent_id FROM outcomes_default),
    EXISTS (SELECT intent_id FROM postings_default)
