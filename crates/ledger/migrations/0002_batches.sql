-- Entries as they were committed: one row for all callers who shared a commit. Without a folder of tiles these rows are
-- the entries of the log for ever; with one they are the staging of what the folder may still lose, and go when it is
-- synced. ledger_entry (step 0001) is read once more, at the first opening, and emptied.
CREATE TABLE ledger_batch (
    first {int} PRIMARY KEY,       -- the index of its first entry
    entries {int} NOT NULL,        -- how many entries it holds
    bundle {bytes} NOT NULL        -- each entry behind its length in two bytes, as in C2SP tlog-tiles
);
