-- Tax accounts and yearly income statements. A taxpayer is found by the blind index of the national number; amounts and
-- employers are inside `record`, sealed.
CREATE TABLE fisc_account (
    -- The tax account number: random, says nothing about the taxpayer.
    id TEXT PRIMARY KEY,
    -- Blind index of the national number without spaces, 32 bytes.
    taxpayer_index {bytes} NOT NULL UNIQUE,
    -- When the row was written, microseconds UTC.
    written_at {int} NOT NULL
);
CREATE TABLE fisc_statement (
    -- The account that the statement belongs to.
    account TEXT NOT NULL REFERENCES fisc_account (id),
    -- The year in which the income was earned.
    year {int} NOT NULL,
    -- Sealed JSON of fisc::Statement, bound to this table, column, account and year.
    record {bytes} NOT NULL,
    -- When the row was written, microseconds UTC.
    written_at {int} NOT NULL,
    PRIMARY KEY (account, year)
);
