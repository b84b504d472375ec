-- Webhooks: where merchants want to hear of what, the events they hear of, and how each was
-- delivered. Endpoints stand on shard 0, beside merchants and keys; events and deliveries on the
-- shard of the payment, written by turnout_webhooks alone.

CREATE TABLE webhook_endpoints (
    id                      uuid        PRIMARY KEY,
    merchant_id             uuid        NOT NULL REFERENCES merchants,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    previous_until          timestamptz,
    live                    boolean     NOT NULL,
    status                  text        NOT NULL DEFAULT 'enabled',
    disabled_reason         text        NOT NULL DEFAULT '',
    url                     text        NOT NULL,
    description             text        NOT NULL DEFAULT '',
    event_types             text[]      NOT NULL DEFAULT '{}',
    api_version             text        NOT NULL,
    sealed_secret           bytea       NOT NULL,
    previous_sealed_secret  bytea,
    creation_key            uuid        NOT NULL,
    creation_hash           uuid        NOT NULL,
    roll_key                uuid,
    roll_hash               uuid,
    CONSTRAINT webhook_endpoints_key UNIQUE (merchant_id, creation_key),
    CONSTRAINT webhook_endpoints_status CHECK (status IN ('enabled', 'disabled')),
    CONSTRAINT webhook_endpoints_reason CHECK (
        disabled_reason IN ('', 'merchant', 'gone', 'operator')
        AND (status = 'disabled') = (disabled_reason <> '')
    ),
    CONSTRAINT webhook_endpoints_url CHECK (length(url) BETWEEN 1 AND 2048),
    CONSTRAINT webhook_endpoints_description CHECK (length(description) <= 500),
    CONSTRAINT webhook_endpoints_types CHECK (cardinality(event_types) <= 50),
    CONSTRAINT webhook_endpoints_previous CHECK (
        (previous_sealed_secret IS NULL) = (previous_until IS NULL)
    ),
    CONSTRAINT webhook_endpoints_roll CHECK ((roll_key IS NULL) = (roll_hash IS NULL))
);

COMMENT ON COLUMN webhook_endpoints.event_types IS 'only these; empty is every type';
COMMENT ON COLUMN webhook_endpoints.previous_until IS
    'until then the secret before the last roll signs as well';
COMMENT ON COLUMN webhook_endpoints.roll_key IS
    'digest of the idempotency key of the last roll, which is not repeated under it';

-- What happened to payments of merchants that have endpoints, as they are told it. The state
-- columns are what the next version of the intent is compared with.
CREATE TABLE merchant_events (
    id              uuid        PRIMARY KEY,
    merchant_id     uuid        NOT NULL,
    intent_id       uuid        NOT NULL,
    refunded_minor  bigint      NOT NULL,
    occurred_at     timestamptz NOT NULL,
    intent_version  integer     NOT NULL,
    live            boolean     NOT NULL,
    status          text        NOT NULL,
    type            text        NOT NULL,
    body            bytea       NOT NULL,
    CONSTRAINT merchant_events_body CHECK (octet_length(body) <= 16384)
);

COMMENT ON TABLE merchant_events IS 'Insert-only until they are old; the id is the stream''s';
COMMENT ON COLUMN merchant_events.body IS 'what every try sends, byte for byte';

CREATE INDEX merchant_events_list ON merchant_events (merchant_id, live, occurred_at, id);
CREATE INDEX merchant_events_intent ON merchant_events (intent_id, intent_version);
CREATE INDEX merchant_events_age ON merchant_events USING brin (occurred_at);

CREATE TABLE webhook_deliveries (
    id           uuid        PRIMARY KEY,
    endpoint_id  uuid        NOT NULL,
    event_id     uuid        NOT NULL,
    merchant_id  uuid        NOT NULL,
    replay_key   uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    since        timestamptz NOT NULL DEFAULT now(),
    tries        integer     NOT NULL DEFAULT 0,
    failures     integer     NOT NULL DEFAULT 0,
    live         boolean     NOT NULL,
    status       text        NOT NULL DEFAULT 'pending',
    event_type   text        NOT NULL,
    CONSTRAINT webhook_deliveries_once UNIQUE (endpoint_id, event_id),
    CONSTRAINT webhook_deliveries_status CHECK (
        status IN ('pending', 'delivered', 'failed', 'canceled')
    )
) WITH (fillfactor = 80);

COMMENT ON COLUMN webhook_deliveries.since IS 'from when its time runs: made, or replayed';
COMMENT ON COLUMN webhook_deliveries.failures IS 'tries in a row that failed, since then';

CREATE INDEX webhook_deliveries_list ON webhook_deliveries (merchant_id, live, id);

-- A row for each delivery that is pending; its place in the queue of its endpoint.
CREATE TABLE webhook_queue (
    delivery_id  uuid        PRIMARY KEY,
    endpoint_id  uuid        NOT NULL,
    due_at       timestamptz NOT NULL
);

COMMENT ON COLUMN webhook_queue.due_at IS
    'when it is tried next; while it is tried, when it would be tried again if nothing came of it';

-- By endpoint first: what one that is dead has waiting is never read on the way to another's.
CREATE INDEX webhook_queue_due ON webhook_queue (endpoint_id, due_at);

CREATE TABLE webhook_tries (
    delivery_id  uuid        NOT NULL,
    started_at   timestamptz NOT NULL,
    number       integer     NOT NULL,
    duration_ms  integer     NOT NULL,
    status_code  integer,
    reason       text        NOT NULL DEFAULT '',
    PRIMARY KEY (delivery_id, number),
    CONSTRAINT webhook_tries_reason CHECK (length(reason) <= 40)
);

COMMENT ON COLUMN webhook_tries.reason IS 'a word of ours; nothing that an endpoint answered';

-- A restore sets these tables back with their cursor, as it does with every effect of a consumer.

GRANT USAGE ON SCHEMA public TO turnout_webhooks;
GRANT SELECT ON
    payment_intents, payment_intent_details, attempts, outcomes, store_and_forward, restores,
    former_restores, relays
TO turnout_webhooks;
GRANT SELECT (
    intent_id, id, request_id, amount_minor, created_at, intent_version, card_exp_year,
    card_exp_month, final_capture, type, currency, card_brand, card_last4
) ON transactions TO turnout_webhooks;
GRANT SELECT ON webhook_endpoints TO turnout_webhooks;
GRANT UPDATE (status, disabled_reason, updated_at) ON webhook_endpoints TO turnout_webhooks;
GRANT SELECT, INSERT, DELETE ON merchant_events, webhook_tries TO turnout_webhooks;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries, webhook_queue TO turnout_webhooks;
GRANT SELECT, INSERT, UPDATE ON stream_cursors TO turnout_webhooks;
GRANT SELECT, INSERT, UPDATE, DELETE ON stream_parked TO turnout_webhooks;

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO turnout_api;
GRANT SELECT ON merchant_events, webhook_deliveries, webhook_queue, webhook_tries TO turnout_api;
GRANT UPDATE (since, failures, status, replay_key) ON webhook_deliveries TO turnout_api;
GRANT INSERT ON webhook_queue TO turnout_api;
GRANT SELECT ON merchant_events, webhook_deliveries, webhook_queue, webhook_tries
TO turnout_admin, turnout_reader;
GRANT SELECT (
    id, merchant_id, created_at, updated_at, previous_until, live, status, disabled_reason, url,
    description, event_types, api_version
) ON webhook_endpoints TO turnout_admin, turnout_reader;

ALTER TABLE operator_actions
    DROP CONSTRAINT operator_actions_action,
    ADD CONSTRAINT operator_actions_action CHECK (action IN (
        'saf_retry', 'saf_resolve', 'exception_close', 'relay_repair', 'stream_retry', 'shard_move',
        'webhook_replay', 'webhook_enable', 'webhook_disable'
    ));

-- Deliveries of an endpoint that were made in a time and are over: each is tried anew. A text that
-- begins with a digit is how many, anything else why not.
CREATE FUNCTION operator_webhook_replay(
    of_endpoint uuid, made_from timestamptz, made_before timestamptz, only_failed boolean,
    operator text, remark text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    found  integer;
BEGIN
    WITH again AS (
        UPDATE webhook_deliveries
        SET since = now(), failures = 0, status = 'pending', replay_key = NULL
        WHERE endpoint_id = of_endpoint AND status <> 'pending'
            AND created_at >= made_from AND created_at < made_before
            AND (NOT only_failed OR status <> 'delivered')
        RETURNING id
    )
    INSERT INTO webhook_queue (delivery_id, endpoint_id, due_at)
    SELECT a.id, of_endpoint, now() FROM again AS a;
    GET DIAGNOSTICS found = ROW_COUNT;
    INSERT INTO operator_actions (operator, action, resolution, note)
    VALUES (operator, 'webhook_replay', of_endpoint::text || ' ' || found, remark);
    RETURN found::text;
END
$$;

CREATE FUNCTION operator_webhook_switch(
    of_endpoint uuid, turn_on boolean, operator text, remark text
) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE webhook_endpoints
    SET status = CASE WHEN turn_on THEN 'enabled' ELSE 'disabled' END,
        disabled_reason = CASE WHEN turn_on THEN '' ELSE 'operator' END,
        updated_at = now()
    WHERE id = of_endpoint;
    IF NOT FOUND THEN
        RETURN 'no_endpoint';
    END IF;
    INSERT INTO operator_actions (operator, action, resolution, note)
    VALUES (
        operator, CASE WHEN turn_on THEN 'webhook_enable' ELSE 'webhook_disable' END,
        of_endpoint::text, remark
    );
    RETURN '';
END
$$;

REVOKE ALL ON FUNCTION operator_webhook_replay, operator_webhook_switch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION operator_webhook_replay, operator_webhook_switch TO turnout_admin;
