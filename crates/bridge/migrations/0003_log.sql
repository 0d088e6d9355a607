-- The organisation at the other end; empty where nothing is told (mode none), null in rows older than this column until they are read
-- once at the next start.
ALTER TABLE bridge_message ADD COLUMN peer TEXT;
-- Keyed index of the national number of whom the exchange was about (the same as in bridge_use); null where it was about nobody.
ALTER TABLE bridge_message ADD COLUMN subject {bytes};
-- What is kept. 0: the message whole; 1: ids and digests; 2: only what the ledger commitment needs, all texts are empty.
ALTER TABLE bridge_message ADD COLUMN mode {int} NOT NULL DEFAULT 0;
CREATE INDEX bridge_message_by_client ON bridge_message (client, id);
CREATE INDEX bridge_message_by_service ON bridge_message (service, id);
CREATE INDEX bridge_message_by_peer ON bridge_message (peer, id);
CREATE INDEX bridge_message_by_request_id ON bridge_message (request_id);
CREATE INDEX bridge_message_by_subject ON bridge_message (subject, id) WHERE subject IS NOT NULL;
CREATE INDEX bridge_message_by_failure ON bridge_message (outcome, id) WHERE outcome NOT IN ('answered', 'sent', 'received', '');
CREATE INDEX bridge_stamped_by_stamp ON bridge_stamped (stamp);
-- Which replica of the node does a job now.
CREATE TABLE bridge_lease (
    -- The job.
    job TEXT PRIMARY KEY,
    -- The replica.
    holder {bytes} NOT NULL,
    -- Microseconds UTC until when the job is its.
    held_until {int} NOT NULL
);
-- The replicas of the node that write into this log.
CREATE TABLE bridge_replica (
    -- Its name.
    replica {bytes} PRIMARY KEY,
    -- It will write no record with this id or a lower one any more.
    settled {int} NOT NULL,
    -- Microseconds UTC when it last said so; one that is silent is taken for gone.
    seen {int} NOT NULL
);
-- Archives of this log.
CREATE TABLE bridge_archive (
    -- Microseconds UTC when it was made, made unique; the order of the chain.
    id {int} PRIMARY KEY,
    -- The name of the file.
    name TEXT NOT NULL,
    -- The member or subsystem whose messages it holds; empty where archives are not grouped. Each group is a chain of its own.
    chain TEXT NOT NULL,
    -- The last digest of its linking information, hexadecimal: the next archive of the chain names it.
    digest TEXT NOT NULL,
    -- SHA-256 of the file.
    file_digest {bytes} NOT NULL,
    -- How many records are in it.
    records {int} NOT NULL,
    -- 0: the file is being put in its place; 1: it is there; 2: it was restored from elsewhere.
    state {int} NOT NULL,
    -- Microseconds UTC until when its records stay in the log although they are archived: a restored archive is to be read.
    kept_until {int} NOT NULL
);
CREATE INDEX bridge_archive_by_chain ON bridge_archive (chain, id);
-- Which archive holds a record.
CREATE TABLE bridge_archived (
    -- The record.
    record {int} PRIMARY KEY,
    -- The archive.
    archive {int} NOT NULL
);
CREATE INDEX bridge_archived_by_archive ON bridge_archived (archive);
