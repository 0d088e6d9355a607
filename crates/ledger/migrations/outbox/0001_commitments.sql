-- What this organisation commits to in a log: written in the transaction of the act itself, sent by a job.
CREATE TABLE outbox_commitment (
    kind TEXT NOT NULL,            -- what the record is: notary, authority.act
    key TEXT NOT NULL,             -- which record of that kind
    salt {bytes},                  -- sealed to this row; erased, and the entry of the log is a random number for ever
    leaf {bytes} NOT NULL,         -- HMAC-SHA-256(salt, record): the entry of the log
    added_at {int} NOT NULL,       -- microseconds UTC
    log_index {int},               -- where the log holds it; empty while it is on its way
    PRIMARY KEY (kind, key)
);
CREATE INDEX outbox_waiting ON outbox_commitment (added_at, kind, key) WHERE log_index IS NULL;
