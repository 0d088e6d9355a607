-- Clients of the notary who come with an API key.
CREATE TABLE notary_key (
    id TEXT PRIMARY KEY,           -- the number of the key, for the operator
    digest {bytes} NOT NULL UNIQUE, -- SHA-256 of the key; the key itself is shown once
    client TEXT NOT NULL,          -- who comes with it: the name that stands in records
    created_at {int} NOT NULL,     -- microseconds UTC
    revoked_at {int}               -- from when on it opens nothing
);
-- What was registered. Salt, entry and place in the log are kept by the outbox under the same id.
CREATE TABLE notary_registration (
    id TEXT PRIMARY KEY,           -- random
    client TEXT NOT NULL,          -- who registered it
    digest_index {bytes},          -- keyed fingerprint of the digest, for the same answer to the same question; empty once erased
    record {bytes},                -- the record that the entry commits to, sealed to this row; empty once erased
    promise {bytes},               -- the signed promise, sealed to this row; empty once erased
    registered_at {int} NOT NULL,  -- microseconds UTC
    UNIQUE (client, digest_index)
);
CREATE INDEX notary_registration_by_client ON notary_registration (client, registered_at, id);
