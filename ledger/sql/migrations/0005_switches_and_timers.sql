-- What switches own, and the timers: small tables.

-- A commit checks (switch, epoch) under FOR KEY SHARE, which a heartbeat's update passes and a
-- takeover, which first takes the row FOR UPDATE, does not.
CREATE TABLE switch_leases (
    switch        text        PRIMARY KEY,
    epoch         integer     NOT NULL CHECK (epoch >= 1),
    expires_at    timestamptz NOT NULL,
    recover_from  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);

COMMENT ON COLUMN switch_leases.recover_from IS
    'no attempt of this switch below this id is without an outcome';

-- 999,999 STANs of one (network, acquirer id), cut into blocks. Taking a block moves its floor_at
-- past the last second it may be used in, so a crash or a clock that steps back reuses nothing.
CREATE TABLE stan_blocks (
    network      text        NOT NULL,
    acquirer_id  text        NOT NULL,
    first_stan   integer     NOT NULL,
    stan_count   integer     NOT NULL,
    floor_at     timestamptz NOT NULL DEFAULT '1970-01-01 00:00:00+00',
    PRIMARY KEY (network, acquirer_id, first_stan),
    CONSTRAINT stan_blocks_range CHECK (
        first_stan >= 1 AND stan_count >= 1 AND first_stan + stan_count <= 1000000
    )
);

COMMENT ON COLUMN stan_blocks.floor_at IS
    'the lowest full UTC second that DE 7 may carry with these STANs';

CREATE TABLE intent_expiry (
    due_at     timestamptz NOT NULL,
    intent_id  uuid        NOT NULL,
    PRIMARY KEY (due_at, intent_id)
);

CREATE TABLE store_and_forward (
    attempt_id      uuid        PRIMARY KEY,
    intent_id       uuid        NOT NULL,
    transaction_id  uuid        NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    due_at          timestamptz NOT NULL,
    repeats         integer     NOT NULL DEFAULT 0 CHECK (repeats >= 0),
    epoch           integer     NOT NULL,
    manual          boolean     NOT NULL DEFAULT false,
    owner           text        NOT NULL,
    network         text        NOT NULL
);

COMMENT ON COLUMN store_and_forward.repeats IS 'raised and committed before each send';
COMMENT ON COLUMN store_and_forward.manual IS 'waits for an operator; this is no outcome';

CREATE INDEX store_and_forward_due ON store_and_forward (due_at);
