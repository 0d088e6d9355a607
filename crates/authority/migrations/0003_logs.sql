-- The transparency logs that the federation relies on, with the witnesses and the quorum that their checkpoints need.
CREATE TABLE authority_log (
    -- The name of the log, the first line of its checkpoints.
    origin TEXT PRIMARY KEY,
    -- The log as the configuration tells it: origin, address, key, policy (JSON).
    entry TEXT NOT NULL
);
