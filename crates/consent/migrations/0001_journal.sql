-- Who asked for whose data in this organisation, and what was answered. Only ever added to.
CREATE TABLE consent_journal (
    -- Random id of the entry; also the id inside the permit.
    id TEXT PRIMARY KEY,
    -- When it was decided, microseconds UTC.
    at {int} NOT NULL,
    -- Whose data: keyed fingerprint of the national number.
    subject_index {bytes} NOT NULL,
    -- Whose data: the national number, sealed to this row.
    subject {bytes} NOT NULL,
    -- citizen, organisation, official or house.
    actor_kind TEXT NOT NULL,
    -- Who asked, as JSON, sealed to this row.
    actor {bytes} NOT NULL,
    -- The service that was asked.
    service TEXT NOT NULL,
    -- The fields asked for, as a JSON array.
    fields TEXT NOT NULL,
    -- Why: the code.
    purpose_code TEXT NOT NULL,
    -- Why: the words.
    purpose_text TEXT NOT NULL,
    -- consent, law or self_access.
    basis_code TEXT NOT NULL,
    -- The grant, or the text of law; empty for self access.
    basis_reference TEXT NOT NULL,
    -- The message of the bridge that asked, where one did.
    message_id TEXT,
    -- granted or refused.
    outcome TEXT NOT NULL,
    -- The code of the refusal; empty where granted.
    reason TEXT NOT NULL
);

CREATE INDEX consent_journal_by_subject ON consent_journal (subject_index, at);

-- Proofs of grant use that served already: each opens one door once. Kept until they expire.
CREATE TABLE consent_spent_proof (
    -- The grant.
    grant_id TEXT NOT NULL,
    -- The message that the proof was made for.
    message_id TEXT NOT NULL,
    -- From when on the proof is refused anyway, microseconds UTC.
    expires {int} NOT NULL,
    PRIMARY KEY (grant_id, message_id)
);

CREATE INDEX consent_spent_proof_by_expiry ON consent_spent_proof (expires);
