-- What lists of intents are searched by: one row per merchant reference and metadata pair, so that
-- each is found in the order of ids however many intents there are (ADR 0040).

-- A hash is enough to find by: whatever is found is compared with the text itself.
CREATE FUNCTION intent_term(name text, value text) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN hashtextextended(length(name)::text || ':' || name || value, 0);

COMMENT ON FUNCTION intent_term IS 'A metadata pair; of a merchant reference, whose name is empty';

CREATE TABLE intent_terms (
    merchant_id  uuid     NOT NULL,
    intent_id    uuid     NOT NULL,
    term         bigint   NOT NULL,
    live         boolean  NOT NULL,
    PRIMARY KEY (merchant_id, live, term, intent_id)
);

COMMENT ON TABLE intent_terms IS
    'Written with payment_intent_details and kept as long: what stands there, to be searched by';

INSERT INTO intent_terms (merchant_id, intent_id, term, live)
SELECT p.merchant_id, p.id, t.term, p.live
FROM payment_intents AS p
JOIN payment_intent_details AS d ON d.intent_id = p.id
CROSS JOIN LATERAL (
    SELECT intent_term('', d.merchant_reference) AS term WHERE d.merchant_reference IS NOT NULL
    UNION
    SELECT intent_term(m.key, m.value) FROM jsonb_each_text(d.metadata) AS m
) AS t;

-- An intent's amount never changes, so updates of the row stay on their page all the same.
CREATE INDEX payment_intents_amount ON payment_intents (merchant_id, live, amount_minor, id);

GRANT INSERT, SELECT ON intent_terms TO turnout_api;
GRANT SELECT ON intent_terms TO turnout_reader;
