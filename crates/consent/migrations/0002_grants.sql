-- What citizens allowed. Kept by the agency; a grant is never deleted, it ends.
CREATE TABLE consent_grant (
    -- Random id.
    id TEXT PRIMARY KEY,
    -- Whose data: keyed fingerprint of the national number.
    subject_index {bytes} NOT NULL,
    -- Person id and national number as JSON, sealed to this row.
    subject {bytes} NOT NULL,
    -- Who may ask: the client of the bridge.
    client TEXT NOT NULL,
    -- Which service may be asked.
    service TEXT NOT NULL,
    -- The fields that may be read, as a JSON array.
    fields TEXT NOT NULL,
    -- The years that may be read, as a JSON array.
    years TEXT NOT NULL,
    -- Why: the code.
    purpose_code TEXT NOT NULL,
    -- Why: the words that the citizen read.
    purpose_text TEXT NOT NULL,
    -- From when, microseconds UTC.
    valid_from {int} NOT NULL,
    -- Until when (excluded), microseconds UTC.
    valid_until {int} NOT NULL,
    -- How many uses are allowed.
    uses_max {int} NOT NULL,
    -- How many were made.
    uses {int} NOT NULL,
    -- The language of the notice that was shown.
    locale TEXT NOT NULL,
    -- SHA-256 of the notice that was shown, hexadecimal.
    notice_hash TEXT NOT NULL,
    -- How sure the login was.
    acr TEXT NOT NULL,
    -- How the citizen logged in, as a JSON array.
    amr TEXT NOT NULL,
    -- When the citizen logged in, microseconds UTC.
    auth_time {int} NOT NULL,
    -- given, revoked or expired.
    status TEXT NOT NULL,
    -- When it was revoked or found expired, microseconds UTC.
    ended_at {int}
);

CREATE INDEX consent_grant_by_subject ON consent_grant (subject_index, valid_from);

CREATE INDEX consent_grant_by_end ON consent_grant (valid_until) WHERE status = 'given';

-- The uses that were counted. The same message asks again for the same answer, and is not counted twice.
CREATE TABLE consent_grant_use (
    -- The grant.
    grant_id TEXT NOT NULL,
    -- The message of the bridge.
    message_id TEXT NOT NULL,
    -- When it was counted, microseconds UTC.
    at {int} NOT NULL,
    -- SHA-256 of client, service, method and path: what the message asked.
    request_hash {bytes} NOT NULL,
    PRIMARY KEY (grant_id, message_id)
);

-- What happened to grants: given, used, refused, revoked, expired. Only ever added to; each is committed to the ledger.
CREATE TABLE consent_event (
    -- Random id; also the key of the queued commitment.
    id TEXT PRIMARY KEY,
    -- The grant (also an unknown one that was asked for).
    grant_id TEXT NOT NULL,
    -- Whose data: keyed fingerprint of the national number; empty where the grant is unknown.
    subject_index {bytes} NOT NULL,
    -- given, used, refused, revoked or expired.
    kind TEXT NOT NULL,
    -- When, microseconds UTC.
    at {int} NOT NULL,
    -- The record as JSON, byte for byte what the commitment is over; sealed to this row.
    record {bytes} NOT NULL,
    -- The salt of the commitment, sealed to this row: with it the citizen proves the record, without it nobody guesses it.
    salt {bytes} NOT NULL,
    -- The commitment: HMAC-SHA-256 of the record under the salt.
    leaf {bytes} NOT NULL,
    -- Where the ledger holds it; empty while it is on the way.
    ledger_index {int}
);

CREATE INDEX consent_event_by_grant ON consent_event (grant_id, at);

CREATE INDEX consent_event_by_subject ON consent_event (subject_index, at);
