-- Durable jobs: what must still be done although the process may die first.
CREATE TABLE store_queue (
    queue TEXT NOT NULL,          -- which kind of work; prefixed by the room's name
    key TEXT NOT NULL,            -- what makes a job the same job: a second enqueue changes nothing
    payload {bytes} NOT NULL,     -- what the worker needs; sealed by the room where it is personal
    not_before {int} NOT NULL,    -- microseconds UTC: not tried earlier
    lease_until {int} NOT NULL,   -- microseconds UTC: a worker holds it until then; 0 where none does
    attempts {int} NOT NULL,      -- how often a worker took it; also the fencing token of its lease
    dead {int} NOT NULL,          -- 1 where no further attempt is made and a person must look
    last_error TEXT,              -- why the last attempt failed
    PRIMARY KEY (queue, key)
);
CREATE INDEX store_queue_due ON store_queue (queue, dead, not_before);
