-- Who is a member of the federation, on which nodes, and every certificate that the authority issued.
CREATE TABLE authority_member (
    -- INSTANCE/CLASS/CODE, percent-encoded as in URLs.
    id TEXT PRIMARY KEY,
    -- The official name, which goes into certificates and into the global configuration.
    name TEXT NOT NULL,
    -- When the member was first registered, microseconds UTC.
    registered_at {int} NOT NULL
);
CREATE TABLE authority_subsystem (
    -- INSTANCE/CLASS/CODE/SUBSYSTEM, percent-encoded as in URLs.
    id TEXT PRIMARY KEY,
    -- The member that it is a part of.
    member TEXT NOT NULL REFERENCES authority_member (id),
    -- Its name for people; NULL where it has none but its code.
    name TEXT,
    -- When it was first registered, microseconds UTC.
    registered_at {int} NOT NULL
);
CREATE TABLE authority_server (
    -- INSTANCE/CLASS/CODE/SERVER, percent-encoded as in URLs.
    id TEXT PRIMARY KEY,
    -- The member that owns the node.
    owner TEXT NOT NULL REFERENCES authority_member (id),
    -- Where other nodes reach it: host or host:port.
    address TEXT NOT NULL,
    -- When it was first registered, microseconds UTC.
    registered_at {int} NOT NULL
);
CREATE TABLE authority_server_client (
    -- The node.
    server TEXT NOT NULL REFERENCES authority_server (id),
    -- A member or subsystem that sends and serves through it.
    client TEXT NOT NULL,
    PRIMARY KEY (server, client)
);
CREATE TABLE authority_certificate (
    -- The serial number, lower-case hexadecimal without leading zeros.
    serial TEXT PRIMARY KEY,
    -- What it is for: authority, ocsp, tsa, sign or auth.
    profile TEXT NOT NULL,
    -- The node it was issued to; NULL for the authority's own.
    server TEXT,
    -- The member it names; NULL for the authority's own.
    member TEXT,
    -- SHA-256 of the certificate, lower-case hexadecimal.
    sha256 TEXT NOT NULL UNIQUE,
    -- The certificate, DER.
    der {bytes} NOT NULL,
    -- When it was issued, microseconds UTC.
    issued_at {int} NOT NULL,
    -- Until when it is valid, microseconds UTC.
    not_after {int} NOT NULL,
    -- When it was revoked, microseconds UTC; NULL while it was not.
    revoked_at {int}
);
CREATE TABLE authority_server_auth (
    -- The node.
    server TEXT NOT NULL REFERENCES authority_server (id),
    -- Serial number of an authentication certificate that is registered for it.
    serial TEXT NOT NULL REFERENCES authority_certificate (serial),
    PRIMARY KEY (server, serial)
);
