-- Commitments of events wait, and are kept, in the outbox of the ledger (outbox_commitment, kind consent.event); salt, leaf and ledger_index
-- are moved there when a newer program opens the tables, and empty from then on.
CREATE TABLE consent_event_3 (
    -- Random id; also the key of the commitment.
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
    -- The salt of an event of an older program, sealed to this row, until it is moved.
    salt {bytes},
    -- Its commitment.
    leaf {bytes},
    -- Where the ledger holds it; empty while it is on the way.
    ledger_index {int}
);
INSERT INTO consent_event_3 (id, grant_id, subject_index, kind, at, record, salt, leaf, ledger_index)
    SELECT id, grant_id, subject_index, kind, at, record, salt, leaf, ledger_index FROM consent_event;
DROP TABLE consent_event;
ALTER TABLE consent_event_3 RENAME TO consent_event;
CREATE INDEX consent_event_by_grant ON consent_event (grant_id, at);
CREATE INDEX consent_event_by_subject ON consent_event (subject_index, at);
CREATE INDEX consent_event_to_move ON consent_event (id) WHERE leaf IS NOT NULL;
