-- Operational data of exchanges, as PR-OPMON asks for them. Rows are added in batches and deleted when they are older than the retention.
CREATE TABLE bridge_operation (
    -- monitoringDataTs: seconds UTC when the record was written.
    stored_s {int} NOT NULL,
    -- A random number: two replicas may write in the same second.
    id {int} NOT NULL,
    -- The client of the exchange; null where the request named none.
    client TEXT,
    -- The client that provides the service; null where the request named none.
    provider TEXT,
    -- The fields of the record, JSON in the names of X-Road. No personal data.
    record TEXT NOT NULL,
    PRIMARY KEY (stored_s, id)
);
