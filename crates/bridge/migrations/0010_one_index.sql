-- The table of messages anew, for three reasons: a request was unique by a key of its own, whose index had another page for each; it is unique
-- beside its message id now, by one index instead of two. SQLite made a table for the list in the condition of the index of failures with each
-- row. And what is searched stands before what is large. All rows are copied once: at the first start of this version a large log takes minutes
-- and twice its space.
CREATE TABLE bridge_message_anew (
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
    -- The organisation at the other end; empty where nothing is told (mode none).
    peer TEXT,
    -- answered, sent, or the error type with which a verified request was refused.
    outcome TEXT NOT NULL,
    -- What is kept. 0: the message whole; 1: ids and digests; 2: only what the ledger commitment needs, all texts are empty.
    mode {int} NOT NULL DEFAULT 0,
    -- Keyed index of the national number of whom the exchange was about (the same as in bridge_use); null where it was about nobody.
    subject {bytes},
    -- What makes a request unique at the provider, among those of its message id; null elsewhere.
    replay {bytes},
    -- SHA-256 of what the ledger is told of the content.
    digest {bytes} NOT NULL,
    -- The salt of the ledger commitment.
    salt {bytes} NOT NULL,
    -- SHA-256 or SHA-512 of the signature: what the time stamp covers.
    signature_digest {bytes} NOT NULL,
    -- The same of the hash chain of a batch signature (sig-hashchain.xml): the signature is of many messages, its chain of this one. Null where
    -- the signature is of this message alone, where nothing is told (mode none), and in rows of earlier versions.
    chain_digest {bytes},
    -- Which mould the signature of a message was made in; its content then holds the values only. Null where the signature is kept whole.
    mould {bytes},
    -- Header part, body, signature and hash chain, sealed and bound to this row.
    content {bytes} NOT NULL
);
INSERT INTO bridge_message_anew (id, message_id, request_id, role, kind, client, service, peer, outcome, mode, subject, replay, digest, salt,
    signature_digest, chain_digest, mould, content)
    SELECT id, message_id, request_id, role, kind, client, service, peer, outcome, mode, subject, replay, digest, salt,
    signature_digest, chain_digest, mould, content FROM bridge_message;
DROP TABLE bridge_message;
ALTER TABLE bridge_message_anew RENAME TO bridge_message;
CREATE UNIQUE INDEX bridge_message_once ON bridge_message (message_id, replay);
CREATE INDEX bridge_message_by_client ON bridge_message (client, id);
CREATE INDEX bridge_message_by_service ON bridge_message (service, id);
CREATE INDEX bridge_message_by_peer ON bridge_message (peer, id);
CREATE INDEX bridge_message_by_request_id ON bridge_message (request_id);
CREATE INDEX bridge_message_by_subject ON bridge_message (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX bridge_message_by_failure ON bridge_message (outcome, id)
    WHERE outcome <> 'answered' AND outcome <> 'sent' AND outcome <> 'received' AND outcome <> '';
