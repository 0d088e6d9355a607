-- A transparency log. The entries are the truth; tiles and checkpoint are derived from them and checked at each start.
CREATE TABLE ledger_entry (
    position {int} PRIMARY KEY,    -- the index of the entry in the log, from 0, without gaps
    leaf_hash {bytes} NOT NULL,    -- SHA-256(0x00 || entry), RFC 6962
    entry {bytes} NOT NULL         -- what was appended; a salted commitment, never a personal datum
);
CREATE UNIQUE INDEX ledger_entry_leaf ON ledger_entry (leaf_hash);
CREATE TABLE ledger_tile (
    level {int} NOT NULL,          -- C2SP tlog-tiles: 0 holds leaf hashes
    tile_index {int} NOT NULL,     -- its position in the level
    hashes {bytes} NOT NULL,       -- 256 hashes of 32 bytes: only full tiles are kept, they never change
    PRIMARY KEY (level, tile_index)
);
CREATE TABLE ledger_checkpoint (
    origin TEXT PRIMARY KEY,       -- the name of the log; one row
    size {int} NOT NULL,           -- how many entries the note covers; changed by compare-and-swap only
    note TEXT NOT NULL,            -- the signed checkpoint
    signed_at {int} NOT NULL       -- microseconds UTC
);
