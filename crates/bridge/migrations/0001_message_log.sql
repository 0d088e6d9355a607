-- Messages that passed this node. Rows are only added; the time stamp and the ledger index stand in tables of their own.
CREATE TABLE bridge_message (
    -- Microseconds UTC when the record was made, made unique.
    id {int} PRIMARY KEY,
    -- X-Road-Id.
    message_id TEXT NOT NULL,
    -- x-road-request-id.
    request_id TEXT NOT NULL,
    -- 0: this node asked; 1: it answered.
    role {int} NOT NULL,
    -- 0: request; 1: answer.
    kind {int} NOT NULL,
    -- Who asked.
    client TEXT NOT NULL,
    -- What was asked for.
    service TEXT NOT NULL,
    -- answered, sent, or the error type with which a verified request was refused.
    outcome TEXT NOT NULL,
    -- What makes a request unique at the provider; null elsewhere.
    replay {bytes} UNIQUE,
    -- SHA-256 of the content before it was sealed: what the ledger commitment is made over.
    digest {bytes} NOT NULL,
    -- The salt of the ledger commitment.
    salt {bytes} NOT NULL,
    -- SHA-512 of the signature: what the time stamp covers.
    signature_digest {bytes} NOT NULL,
    -- Header part, body, signature and hash chain, sealed and bound to this row.
    content {bytes} NOT NULL
);
CREATE INDEX bridge_message_by_message_id ON bridge_message (message_id);
-- Time stamps; each covers many records.
CREATE TABLE bridge_stamp (
    -- Microseconds UTC when the stamp was asked for, made unique.
    id {int} PRIMARY KEY,
    -- The file that was stamped (ts-hashchainresult.xml).
    chain_result {bytes} NOT NULL,
    -- The RFC 3161 token.
    token {bytes} NOT NULL
);
-- Which stamp covers a record.
CREATE TABLE bridge_stamped (
    -- The record.
    record {int} PRIMARY KEY,
    -- The stamp.
    stamp {int} NOT NULL,
    -- The way from the signature of the record to the stamped file (ts-hashchain.xml).
    chain {bytes} NOT NULL
);
-- Uses of data about a person: what the citizen sees.
CREATE TABLE bridge_use (
    -- Microseconds UTC, made unique.
    id {int} PRIMARY KEY,
    -- Keyed index of the national number.
    subject {bytes} NOT NULL,
    -- The service whose data were used.
    service TEXT NOT NULL,
    -- The record that the citizen is shown, JSON, sealed and bound to this row.
    record {bytes} NOT NULL,
    -- SHA-256 of the record: what the ledger commitment is made over.
    digest {bytes} NOT NULL,
    -- The salt of the ledger commitment.
    salt {bytes} NOT NULL
);
CREATE INDEX bridge_use_by_subject ON bridge_use (subject, id);
-- Leaves of the ledger that commit to records.
CREATE TABLE bridge_leaf (
    -- 0: bridge_message; 1: bridge_use.
    source {int} NOT NULL,
    -- The id in that table.
    record {int} NOT NULL,
    -- The index of the leaf.
    leaf {int} NOT NULL,
    PRIMARY KEY (source, record)
);
-- How far the jobs came: everything up to this id is done.
CREATE TABLE bridge_mark (
    -- The job.
    job TEXT PRIMARY KEY,
    -- The id.
    id {int} NOT NULL
);
