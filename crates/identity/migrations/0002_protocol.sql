-- Pushed authorization requests (RFC 9126).
CREATE TABLE identity_requests (
    uri_hash {bytes} PRIMARY KEY,       -- SHA-256 of the request_uri
    client_id TEXT NOT NULL,            -- who pushed it
    request TEXT NOT NULL,              -- the checked request as JSON
    expires_at {int} NOT NULL,          -- not valid from here on
    spent_at {int}                      -- when an answer was given; null before
);
CREATE INDEX identity_requests_expiry ON identity_requests (expires_at);

-- One row for each time a browser starts to answer a request.
CREATE TABLE identity_flows (
    flow_hash {bytes} PRIMARY KEY,      -- SHA-256 of the flow id in the pages
    browser {bytes} NOT NULL,           -- SHA-256 of the browser secret in the session: other browsers cannot go on with it
    uri_hash {bytes} NOT NULL,          -- the request that is answered
    step TEXT NOT NULL,                 -- how far the login came, as JSON
    created_at {int} NOT NULL,          -- when it began
    expires_at {int} NOT NULL           -- not valid from here on
);
CREATE INDEX identity_flows_expiry ON identity_flows (expires_at);

-- WebAuthn challenges that wait for their answer. Read once.
CREATE TABLE identity_ceremonies (
    flow_hash {bytes} NOT NULL,         -- the flow that asked
    kind TEXT NOT NULL,                 -- login or register
    state TEXT NOT NULL,                -- challenge and policy as JSON of webauthn-rs
    expires_at {int} NOT NULL,          -- not valid from here on
    PRIMARY KEY (flow_hash, kind)
);

-- Authorization codes. A spent row stays until its tokens are over, so that a second use is recognised.
CREATE TABLE identity_codes (
    code_hash {bytes} PRIMARY KEY,      -- SHA-256 of the code
    client_id TEXT NOT NULL,            -- for whom
    request TEXT NOT NULL,              -- the request that it answers, as JSON
    authentication TEXT NOT NULL,       -- who logged in, how, when, as JSON
    grant_id TEXT,                      -- the grant that the citizen gave, where data were asked for
    grant_until {int},                  -- when that grant ends
    expires_at {int} NOT NULL,          -- not valid from here on
    spent_at {int},                     -- when it was exchanged
    token_id TEXT,                      -- jti of the access token made from it
    keep_until {int} NOT NULL           -- when the row may go
);
CREATE INDEX identity_codes_token ON identity_codes (token_id);
CREATE INDEX identity_codes_expiry ON identity_codes (keep_until);

-- Ids of client assertions seen, until they expire (RFC 7523 §3, point 7).
CREATE TABLE identity_assertions (
    client_id TEXT NOT NULL,            -- who signed it
    jti_hash {bytes} NOT NULL,          -- SHA-256 of its jti
    expires_at {int} NOT NULL,          -- when the assertion expires
    PRIMARY KEY (client_id, jti_hash)
);
CREATE INDEX identity_assertions_expiry ON identity_assertions (expires_at);

-- Access tokens for our own userinfo that were revoked before their end.
CREATE TABLE identity_tokens_revoked (
    token_id TEXT PRIMARY KEY,          -- jti
    expires_at {int} NOT NULL           -- when the token ends by itself
);

-- The exact words of every consent screen that was agreed to, by the digest that the grant keeps.
CREATE TABLE identity_notices (
    notice_hash TEXT PRIMARY KEY,       -- SHA-256 of language and text, hexadecimal
    locale TEXT NOT NULL,               -- language shown
    notice TEXT NOT NULL,               -- the text shown
    first_at {int} NOT NULL             -- when it was first agreed to
);
