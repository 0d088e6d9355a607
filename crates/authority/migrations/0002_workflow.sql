-- Requests with approval, groups, approved authorities, federation, audit, and what may change at a node.
ALTER TABLE authority_server ADD COLUMN maintenance TEXT; -- the message for callers, NULL while it serves normally
ALTER TABLE authority_server_client ADD COLUMN enabled {int} NOT NULL DEFAULT 1; -- 0 while the client is stopped
CREATE TABLE authority_node_certificate (
    -- SHA-256 of an authentication certificate, lower-case hexadecimal. One certificate speaks for one node.
    sha256 TEXT PRIMARY KEY,
    -- The node.
    server TEXT NOT NULL REFERENCES authority_server (id),
    -- The certificate, DER, of any approved authority.
    der {bytes} NOT NULL,
    -- Until when it is valid, microseconds UTC.
    not_after {int} NOT NULL,
    -- When it was registered, microseconds UTC.
    registered_at {int} NOT NULL
);
INSERT INTO authority_node_certificate (sha256, server, der, not_after, registered_at)
    SELECT c.sha256, a.server, c.der, c.not_after, c.issued_at
    FROM authority_server_auth a JOIN authority_certificate c ON c.serial = a.serial;
DROP TABLE authority_server_auth;
CREATE TABLE authority_member_class (
    -- The class, for instance GOV.
    code TEXT PRIMARY KEY,
    -- What it is, for people.
    description TEXT NOT NULL
);
CREATE TABLE authority_security_category (
    -- The category of services and nodes, as the federation's security policy names it.
    code TEXT PRIMARY KEY,
    -- What it is, for people.
    description TEXT NOT NULL
);
CREATE TABLE authority_server_category (
    -- The node.
    server TEXT NOT NULL REFERENCES authority_server (id),
    -- A category whose rules the node keeps.
    category TEXT NOT NULL REFERENCES authority_security_category (code),
    PRIMARY KEY (server, category)
);
CREATE TABLE authority_group (
    -- The code by which access rights name the group.
    code TEXT PRIMARY KEY,
    -- What it is, for people.
    description TEXT NOT NULL
);
CREATE TABLE authority_group_member (
    -- The group.
    group_code TEXT NOT NULL REFERENCES authority_group (code),
    -- A member or subsystem.
    client TEXT NOT NULL,
    PRIMARY KEY (group_code, client)
);
CREATE TABLE authority_approved (
    -- SHA-256 of the certificate, lower-case hexadecimal.
    id TEXT PRIMARY KEY,
    -- ca or tsa.
    kind TEXT NOT NULL,
    -- Its settings, JSON.
    settings TEXT NOT NULL
);
CREATE TABLE authority_federation (
    -- An instance that we federate with.
    instance TEXT PRIMARY KEY,
    -- Its anchor, XML.
    anchor TEXT NOT NULL
);
CREATE TABLE authority_request (
    -- A running number, which the answer to the request names.
    id {int} PRIMARY KEY,
    -- The management service: authCertReg, clientReg and so on, or enrolment.
    kind TEXT NOT NULL,
    -- node or authority: who asks.
    origin TEXT NOT NULL,
    -- waiting, submitted (both sides asked), approved, declined, revoked.
    state TEXT NOT NULL,
    -- The node that it is about.
    server TEXT NOT NULL,
    -- The client that it is about.
    client TEXT,
    -- What else it says, JSON.
    detail TEXT NOT NULL,
    -- SHA-256 of the certificate that it is about, hexadecimal.
    certificate TEXT,
    -- SHA-256 of the message that it came in: the same message again is the same request. NULL for our own.
    message TEXT UNIQUE,
    -- The request of the other side that it complements.
    complements {int},
    -- When it came, microseconds UTC.
    created_at {int} NOT NULL,
    -- Who asked.
    created_by TEXT NOT NULL,
    -- When it was decided, microseconds UTC.
    decided_at {int},
    -- Who decided.
    decided_by TEXT,
    -- Why it was declined.
    reason TEXT
);
CREATE INDEX authority_request_state ON authority_request (state, id);
CREATE INDEX authority_request_server ON authority_request (server, kind, state);
CREATE TABLE authority_audit (
    -- A running number.
    id {int} PRIMARY KEY,
    -- When, microseconds UTC.
    at {int} NOT NULL,
    -- Who: an operator's key, a node, or the process itself.
    actor TEXT NOT NULL,
    -- What was done.
    action TEXT NOT NULL,
    -- To whom or what.
    subject TEXT NOT NULL,
    -- With which values.
    detail TEXT NOT NULL
);
CREATE TABLE authority_api_key (
    -- The first part of the key, which is no secret.
    id TEXT PRIMARY KEY,
    -- SHA-256 of the whole key, hexadecimal.
    digest TEXT NOT NULL,
    -- Whose it is, for people.
    label TEXT NOT NULL,
    -- Roles, separated by spaces.
    roles TEXT NOT NULL,
    -- When it was made, microseconds UTC.
    created_at {int} NOT NULL,
    -- When it was withdrawn, microseconds UTC; NULL while it opens doors.
    revoked_at {int}
);
