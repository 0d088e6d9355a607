-- What this organisation saw of the logs of others, as their witness and as their monitor.
CREATE TABLE ledger_witnessed (
    origin TEXT PRIMARY KEY,       -- the log
    origin_hash TEXT NOT NULL,     -- hex SHA-256 of the origin, as C2SP tlog-witness asks for it
    size {int} NOT NULL,           -- the largest tree that was cosigned; changed in the transaction that checks it only
    root {bytes} NOT NULL,         -- its root
    note TEXT NOT NULL,            -- the checkpoint with the log's signatures and ours
    cosigned_at {int} NOT NULL     -- microseconds UTC
);
CREATE UNIQUE INDEX ledger_witnessed_hash ON ledger_witnessed (origin_hash);
CREATE TABLE ledger_sighting (
    origin TEXT NOT NULL,          -- the log
    size {int} NOT NULL,           -- of a checkpoint that the monitor saw
    root {bytes} NOT NULL,         -- its root: two rows of one size are two histories
    note TEXT NOT NULL,            -- the checkpoint as it was served
    verified {int} NOT NULL,       -- 1 where it continues what was seen before, 0 where it contradicts it
    seen_at {int} NOT NULL,        -- microseconds UTC
    PRIMARY KEY (origin, size, root)
);
CREATE TABLE ledger_conflict (
    origin TEXT NOT NULL,          -- the log that signed both
    first_note TEXT NOT NULL,      -- the checkpoint that was seen before
    second_note TEXT NOT NULL,     -- the one that contradicts it
    second_digest {bytes} NOT NULL, -- SHA-256 of the second text: the same evidence is kept once
    found_by TEXT NOT NULL,        -- witness or monitor
    found_at {int} NOT NULL,       -- microseconds UTC
    PRIMARY KEY (origin, second_digest)
);
