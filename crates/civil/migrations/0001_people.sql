-- The population register. Nothing personal stands here in clear: what a person is called and when they were born is
-- inside `record`, sealed; the national number is found by its blind index.
CREATE TABLE civil_person (
    -- The internal number (civic::PersonId): random, says nothing about the person.
    id TEXT PRIMARY KEY,
    -- Blind index of the national number without spaces, 32 bytes.
    national_index {bytes} NOT NULL UNIQUE,
    -- Sealed JSON of civil::person::Person, bound to this table, column and id.
    record {bytes} NOT NULL,
    -- When the row was written, microseconds UTC.
    written_at {int} NOT NULL
);
