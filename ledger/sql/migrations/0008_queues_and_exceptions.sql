-- What waits: advices to repeat, doubts to look into, exceptions for a person; and what operators
-- did. Small tables that stay small, but for the declines.

-- Rows of a dual-message network come and go with every charge: vacuum by count, not by share.
ALTER TABLE store_and_forward
    ADD COLUMN kind text NOT NULL,
    ADD COLUMN resolution text NOT NULL DEFAULT '',
    ADD COLUMN resolved_by text NOT NULL DEFAULT '',
    ADD CONSTRAINT store_and_forward_kind CHECK (
        kind IN ('request', 'completion', 'reversal', 'release')
    ),
    ADD CONSTRAINT store_and_forward_resolution CHECK (
        resolution IN ('', 'acknowledged', 'refused')
    ),
    ADD CONSTRAINT store_and_forward_resolved CHECK (
        (resolution = '') = (resolved_by = '') AND NOT (manual AND resolution <> '')
    ),
    SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

COMMENT ON COLUMN store_and_forward.kind IS 'of the attempt';
COMMENT ON COLUMN store_and_forward.resolution IS
    'what an operator found out; the switch that owns the row acts on it';

DROP INDEX store_and_forward_due;
CREATE INDEX store_and_forward_due ON store_and_forward (owner, due_at);
-- Inside one intent advices leave in order: only the oldest is ever due.
CREATE INDEX store_and_forward_intent ON store_and_forward (intent_id, attempt_id);

CREATE TABLE verifications (
    attempt_id      uuid        PRIMARY KEY,
    intent_id       uuid        NOT NULL,
    transaction_id  uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,
    window_ends_at  timestamptz NOT NULL,
    inquiries       integer     NOT NULL DEFAULT 0 CHECK (inquiries >= 0),
    epoch           integer     NOT NULL,
    owner           text        NOT NULL,
    network         text        NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

COMMENT ON TABLE verifications IS
    'Attempts in doubt while their window of inquiries is open; then a reversal takes their place';

CREATE INDEX verifications_due ON verifications (owner, due_at);
CREATE INDEX verifications_intent ON verifications (intent_id, attempt_id);

-- Written on declines only, read when a switch starts, forgotten after 30 days. Neither published
-- nor shown to readers: a fingerprint names a card.
CREATE TABLE declines (
    at           timestamptz NOT NULL,
    attempt_id   uuid        NOT NULL,
    merchant_id  uuid        NOT NULL,
    fingerprint  uuid        NOT NULL,
    network      text        NOT NULL,
    class        text        NOT NULL,
    PRIMARY KEY (at, attempt_id),
    CONSTRAINT declines_class CHECK (class IN ('hard', 'soft', 'data', 'generic'))
);

CREATE TABLE exceptions (
    id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    opened_at       timestamptz NOT NULL DEFAULT now(),
    closed_at       timestamptz,
    intent_id       uuid,
    transaction_id  uuid,
    attempt_id      uuid,
    kind            text        NOT NULL,
    network         text        NOT NULL DEFAULT '',
    closed_by       text,
    note            text        NOT NULL DEFAULT '',
    detail          jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT exceptions_once UNIQUE (kind, attempt_id),
    CONSTRAINT exceptions_kind CHECK (kind ~ '^[a-z][a-z0-9_]{0,63}$'),
    CONSTRAINT exceptions_closed CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
    CONSTRAINT exceptions_texts CHECK (
        length(note) <= 1000 AND octet_length(detail::text) <= 4096
    )
);

COMMENT ON TABLE exceptions IS 'What a person has to look into; nothing stops for it';
COMMENT ON COLUMN exceptions.detail IS 'numbers and codes; never card data';

CREATE INDEX exceptions_open ON exceptions (closed_at, id);

CREATE TABLE operator_actions (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    attempt_id  uuid,
    exception   bigint,
    operator    text        NOT NULL,
    action      text        NOT NULL,
    resolution  text        NOT NULL DEFAULT '',
    note        text        NOT NULL,
    CONSTRAINT operator_actions_action CHECK (
        action IN ('saf_retry', 'saf_resolve', 'exception_close')
    ),
    CONSTRAINT operator_actions_texts CHECK (
        length(operator) BETWEEN 1 AND 48 AND length(note) <= 1000
    )
);

COMMENT ON TABLE operator_actions IS 'Insert-only, by the functions below alone';

-- An operator changes no payment: only the switch does. These functions tell it what was found
-- out, in the row it looks at anyway, and write down who said so. Due at once is the epoch: queues
-- have a clock of their own, which the one of Postgres may be ahead of. Empty is success, otherwise
-- the reason why nothing was done.
CREATE FUNCTION operator_saf_retry(attempt uuid, operator text, note text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE store_and_forward SET manual = false, due_at = 'epoch'
    WHERE attempt_id = attempt AND resolution = '';
    IF NOT FOUND THEN
        RETURN 'not_waiting';
    END IF;
    INSERT INTO operator_actions (attempt_id, operator, action, note)
    VALUES (attempt, operator, 'saf_retry', note);
    RETURN '';
END
$$;

CREATE FUNCTION operator_saf_resolve(attempt uuid, word text, operator text, note text)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    waiting store_and_forward;
BEGIN
    SELECT * INTO waiting FROM store_and_forward WHERE attempt_id = attempt FOR UPDATE;
    IF NOT FOUND OR waiting.resolution <> '' THEN
        RETURN 'not_waiting';
    ELSIF NOT waiting.manual THEN
        RETURN 'not_manual';
    ELSIF word = 'refused' AND waiting.kind = 'reversal' THEN
        RETURN 'not_refusable';  -- a reversal is acknowledged, never given up
    END IF;
    UPDATE store_and_forward
    SET manual = false, due_at = 'epoch', resolution = word, resolved_by = operator
    WHERE attempt_id = attempt;
    INSERT INTO operator_actions (attempt_id, operator, action, resolution, note)
    VALUES (attempt, operator, 'saf_resolve', word, note);
    RETURN '';
END
$$;

CREATE FUNCTION operator_close_exception(number bigint, operator text, remark text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE exceptions SET closed_at = now(), closed_by = operator, note = remark
    WHERE id = number AND closed_at IS NULL;
    IF NOT FOUND THEN
        RETURN 'not_open';
    END IF;
    INSERT INTO operator_actions (exception, operator, action, note)
    VALUES (number, operator, 'exception_close', remark);
    RETURN '';
END
$$;

-- Keys are forgotten after 30 days, and never sooner: nobody may delete one but through this.
CREATE INDEX idempotency_created_at ON idempotency USING brin (created_at);

CREATE FUNCTION expire_idempotency(rows_max integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    leaf     text;
    deleted  integer;
    total    integer := 0;
BEGIN
    IF rows_max NOT BETWEEN 1 AND 10000 THEN
        RAISE EXCEPTION 'rows_max must lie between 1 and 10000' USING ERRCODE = '22023';
    END IF;
    FOR leaf IN
        SELECT i.inhrelid::regclass::text FROM pg_inherits AS i
        WHERE i.inhparent = 'idempotency'::regclass
        ORDER BY 1
    LOOP
        EXECUTE format(
            'DELETE FROM %1$s WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM %1$s WHERE created_at < now() - interval ''30 days''
                LIMIT %2$s
            ))', leaf, rows_max - total);
        GET DIAGNOSTICS deleted = ROW_COUNT;
        total := total + deleted;
        EXIT WHEN total = rows_max;
    END LOOP;
    RETURN total;
END
$$;

REVOKE ALL ON FUNCTION
    operator_saf_retry, operator_saf_resolve, operator_close_exception, expire_idempotency
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    operator_saf_retry, operator_saf_resolve, operator_close_exception
TO turnout_admin;
GRANT EXECUTE ON FUNCTION expire_idempotency TO turnout_switch;

GRANT SELECT, INSERT, UPDATE, DELETE ON verifications TO turnout_switch;
GRANT SELECT, INSERT, DELETE ON declines TO turnout_switch;
GRANT SELECT, INSERT ON exceptions TO turnout_switch;
GRANT SELECT ON verifications, exceptions, operator_actions TO turnout_reader;
-- Merchants may see that a message of theirs is repeated, and that a person looks after it.
GRANT SELECT (attempt_id, repeats, manual) ON store_and_forward TO turnout_api;
GRANT SELECT ON
    store_and_forward, verifications, attempts, outcomes, exceptions, operator_actions
TO turnout_admin;
