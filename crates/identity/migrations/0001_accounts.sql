-- One row a citizen who has, or was sent a letter to open, an account.
CREATE TABLE identity_accounts (
    person TEXT PRIMARY KEY,            -- internal number of the person (civic::PersonId)
    number_index {bytes} NOT NULL,      -- blind index of the national number
    number_sealed {bytes} NOT NULL,     -- national number, sealed for this row
    name_sealed {bytes} NOT NULL,       -- name to show, sealed for this row
    phone_sealed {bytes},               -- phone number (E.164), sealed for this row; null where the person has none
    pin_hash TEXT,                      -- Argon2id of the PIN in PHC form; null until one is chosen
    activation_mac {bytes},             -- keyed digest of the activation code of the letter; null once it was used
    activated_at {int},                 -- when the letter was used; null before
    created_at {int} NOT NULL           -- when the account was enrolled
);
CREATE UNIQUE INDEX identity_accounts_number ON identity_accounts (number_index);

-- Passkeys (WebAuthn credentials). Public keys only.
CREATE TABLE identity_passkeys (
    credential_id {bytes} PRIMARY KEY,  -- id chosen by the authenticator
    person TEXT NOT NULL,               -- whose it is
    passkey TEXT NOT NULL,              -- public key, counter and flags as JSON of webauthn-rs
    acr_bound TEXT NOT NULL,            -- assurance of the login under which it was made
    created_at {int} NOT NULL,          -- when it was made
    used_at {int}                       -- last login with it
);
CREATE INDEX identity_passkeys_person ON identity_passkeys (person);

-- Failed attempts, by keyed digest of a national number, a network address or a phone.
CREATE TABLE identity_throttles (
    throttle_key {bytes} PRIMARY KEY,   -- blind index of what is slowed down
    failures {int} NOT NULL,            -- attempts counted and not forgiven
    last_at {int} NOT NULL              -- the last one
);

-- What happened to an account, for its owner and for inquiries.
CREATE TABLE identity_events (
    id TEXT PRIMARY KEY,                -- random
    person TEXT NOT NULL,               -- whose account
    at {int} NOT NULL,                  -- when
    kind TEXT NOT NULL,                 -- activated, login, pin_changed, passkey_added, consent_given, consent_refused, code_reused
    client_id TEXT,                     -- on behalf of which client, where there is one
    acr TEXT                            -- assurance reached, for logins
);
CREATE INDEX identity_events_person ON identity_events (person, at);

-- Codes sent by SMS, one live code a login.
CREATE TABLE identity_sms_codes (
    flow_hash {bytes} PRIMARY KEY,      -- the login that it belongs to
    code_mac {bytes} NOT NULL,          -- keyed digest of login and code
    attempts {int} NOT NULL,            -- how often a code was tried
    sent_count {int} NOT NULL,          -- how many messages were sent for this login
    sent_at {int} NOT NULL,             -- when the last one was sent
    expires_at {int} NOT NULL           -- not valid from here on
);

-- The messages that the simulated handset of the demo received.
CREATE TABLE identity_handset (
    id TEXT PRIMARY KEY,                -- key of the queued message: a second delivery changes nothing
    phone_sealed {bytes} NOT NULL,      -- phone number, sealed for this row
    text_sealed {bytes} NOT NULL,       -- text, sealed for this row
    received_at {int} NOT NULL          -- when
);
CREATE INDEX identity_handset_time ON identity_handset (received_at);
