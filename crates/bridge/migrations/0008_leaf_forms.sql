-- What the leaf commits to. 0: of a message the text of its digest, of a use the record; 1: the record that an evidence file proves
-- (trust::asic::LoggedRecord). Older leaves stay what they are.
ALTER TABLE bridge_leaf ADD COLUMN form {int} NOT NULL DEFAULT 0;
-- The ledger's proofs that an archive brought back together with its records; for all other records the ledger is asked.
CREATE TABLE bridge_kept_proof (
    -- The record.
    record {int} PRIMARY KEY,
    -- The proof (C2SP tlog-proof with the opening of its entry).
    proof TEXT NOT NULL
);
