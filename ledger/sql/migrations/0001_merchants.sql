-- Merchants and their API keys. Few rows, written by turnout_admin, cached by the readers.

CREATE TABLE merchants (
    id                   uuid        PRIMARY KEY,
    created_at           timestamptz NOT NULL DEFAULT now(),
    name                 text        NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    status               text        NOT NULL DEFAULT 'active'
                                     CHECK (status IN ('active', 'suspended', 'closed')),
    country              text        NOT NULL CHECK (country ~ '^[0-9]{3}$'),
    settlement_currency  text        NOT NULL CHECK (settlement_currency ~ '^[a-z]{3}$'),
    mcc                  text        NOT NULL CHECK (mcc ~ '^[0-9]{4}$'),
    terminal_id          text        NOT NULL CHECK (length(terminal_id) BETWEEN 1 AND 8),
    card_acceptor_id     text        NOT NULL CHECK (length(card_acceptor_id) BETWEEN 1 AND 15),
    name_location        text        NOT NULL CHECK (length(name_location) BETWEEN 1 AND 40),
    browser_origins      text[]      NOT NULL DEFAULT '{}',
    sealed_bank_account  bytea
);

COMMENT ON COLUMN merchants.country IS 'ISO 3166-1 numeric, DE 19';
COMMENT ON COLUMN merchants.mcc IS 'merchant category code, DE 18';
COMMENT ON COLUMN merchants.terminal_id IS 'DE 41';
COMMENT ON COLUMN merchants.card_acceptor_id IS 'DE 42';
COMMENT ON COLUMN merchants.name_location IS 'DE 43';
COMMENT ON COLUMN merchants.sealed_bank_account IS 'sealed by the HSM; opened for payouts only';

-- The publishable key names the pair; its secret half is sealed under an HSM key. Two pairs of one
-- merchant and mode are active while they are being rolled; the writer holds the merchant's row
-- lock while it counts.
CREATE TABLE api_keys (
    publishable_key  text        PRIMARY KEY,
    merchant_id      uuid        NOT NULL REFERENCES merchants,
    live             boolean     NOT NULL,
    status           text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    sealed_secret    bytea       NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    revoked_at       timestamptz,
    CONSTRAINT api_keys_prefix CHECK (
        publishable_key LIKE CASE WHEN live THEN 'pk\_live\_%' ELSE 'pk\_test\_%' END
    ),
    CONSTRAINT api_keys_revoked_at CHECK ((status = 'revoked') = (revoked_at IS NOT NULL))
);

CREATE INDEX api_keys_merchant ON api_keys (merchant_id);
