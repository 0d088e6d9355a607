-- What the node offers and to whom. One row says which state the tables are in: replicas that share a store read it every second.
CREATE TABLE bridge_registry_version (
    -- Always 1: there is one row.
    id {int} PRIMARY KEY,
    -- Raised by every change.
    version {int} NOT NULL,
    -- The last number that was given to a row of the registry.
    last_id {int} NOT NULL
);
INSERT INTO bridge_registry_version (id, version, last_id) VALUES (1, 1, 0);
-- The subsystems that this node serves: they call through it, and offer services behind it.
CREATE TABLE bridge_client (
    -- INSTANCE/CLASS/CODE or INSTANCE/CLASS/CODE/SUBSYSTEM.
    id TEXT PRIMARY KEY,
    -- How its information systems connect: http, https_no_auth or https.
    connection TEXT NOT NULL,
    -- What the message log keeps of its exchanges: full, metadata or none.
    log_mode TEXT NOT NULL,
    -- saved, registration_in_progress, registered, deletion_in_progress, disabled.
    status TEXT NOT NULL,
    -- A name for people; null where there is none.
    name TEXT,
    -- 1: the configuration of the node declares it, and only the configuration takes it away.
    declared {int} NOT NULL
);
-- Certificates with which information systems of a client may connect.
CREATE TABLE bridge_client_certificate (
    -- The client.
    client TEXT NOT NULL,
    -- SHA-256 of the certificate.
    fingerprint {bytes} NOT NULL,
    -- The certificate, DER.
    certificate {bytes} NOT NULL,
    PRIMARY KEY (client, fingerprint)
);
-- Descriptions of services: a base address, an OpenAPI file or a WSDL, with the services that it brings.
CREATE TABLE bridge_service_description (
    -- Its number.
    id {int} PRIMARY KEY,
    -- The client that offers its services.
    client TEXT NOT NULL,
    -- rest, openapi3 or wsdl.
    kind TEXT NOT NULL,
    -- Where the description (of rest: the service) is.
    url TEXT NOT NULL,
    -- The text of the description; null for rest.
    description TEXT,
    -- 0: its services refuse every call.
    enabled {int} NOT NULL,
    -- What callers are told while it is disabled; null where nothing was said.
    disabled_notice TEXT,
    -- Microseconds UTC when the text was read last.
    refreshed {int} NOT NULL,
    -- 1: the configuration of the node declares it.
    declared {int} NOT NULL
);
CREATE INDEX bridge_service_description_by_client ON bridge_service_description (client);
-- Services.
CREATE TABLE bridge_service (
    -- Its number.
    id {int} PRIMARY KEY,
    -- The description that brings it.
    description {int} NOT NULL,
    -- INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE.
    service TEXT NOT NULL,
    -- Version of a SOAP service; empty where there is none.
    version TEXT NOT NULL,
    -- A title for people; null where there is none.
    title TEXT,
    -- Where the information system answers.
    url TEXT NOT NULL,
    -- It must answer within so many milliseconds.
    timeout_ms {int} NOT NULL,
    -- 1: its TLS certificate is verified.
    tls_verify {int} NOT NULL,
    -- Why its data may be given: public, law or consent.
    basis TEXT NOT NULL,
    -- For law: the law and its article.
    law_reference TEXT,
    -- For law: the code of the purpose.
    purpose_code TEXT,
    -- For law: the purpose in words.
    purpose_text TEXT,
    -- Whom its data are about: none, permit, or path:N for segment N of the path.
    subject TEXT NOT NULL,
    -- The names of the data that an answer holds, a JSON array.
    fields TEXT NOT NULL,
    UNIQUE (service, version)
);
CREATE INDEX bridge_service_by_description ON bridge_service (description);
-- Endpoints of services that rights may be given to.
CREATE TABLE bridge_endpoint (
    -- Its number.
    id {int} PRIMARY KEY,
    -- The service, without version.
    service TEXT NOT NULL,
    -- GET, POST, ...; * for all.
    method TEXT NOT NULL,
    -- The pattern of its path.
    path TEXT NOT NULL,
    -- 1: it comes from the description and goes with it.
    generated {int} NOT NULL,
    UNIQUE (service, method, path)
);
-- Who may use what.
CREATE TABLE bridge_right (
    -- client, local_group or global_group.
    subject_kind TEXT NOT NULL,
    -- A client id; the number of a local group; INSTANCE/CODE of a global group.
    subject TEXT NOT NULL,
    -- The service, without version.
    service TEXT NOT NULL,
    -- Methods of the endpoint; * for all.
    method TEXT NOT NULL,
    -- Its pattern; ** with the method * is the whole service.
    path TEXT NOT NULL,
    -- Microseconds UTC when it was given.
    given {int} NOT NULL,
    -- 1: the configuration of the node declares it.
    declared {int} NOT NULL,
    PRIMARY KEY (subject_kind, subject, service, method, path)
);
CREATE INDEX bridge_right_by_service ON bridge_right (service);
-- Groups of clients that a client of this node made for its rights.
CREATE TABLE bridge_local_group (
    -- Its number.
    id {int} PRIMARY KEY,
    -- The client whose group it is.
    client TEXT NOT NULL,
    -- Its code.
    code TEXT NOT NULL,
    -- What it is, for people.
    description TEXT NOT NULL,
    -- Microseconds UTC of the last change.
    updated {int} NOT NULL,
    UNIQUE (client, code)
);
-- Who is in a local group.
CREATE TABLE bridge_local_group_member (
    -- The group.
    local_group {int} NOT NULL,
    -- A client of the federation.
    member TEXT NOT NULL,
    -- Microseconds UTC since when.
    added {int} NOT NULL,
    PRIMARY KEY (local_group, member)
);
-- Keys of programs and people that use the management API.
CREATE TABLE bridge_api_key (
    -- Its number.
    id {int} PRIMARY KEY,
    -- SHA-256 of the key; the key itself is kept nowhere.
    digest {bytes} NOT NULL UNIQUE,
    -- The roles it has, separated by commas.
    roles TEXT NOT NULL,
    -- Microseconds UTC when it was made.
    created {int} NOT NULL
);
-- Keys that were made over the management API; those that the node started with stand in its files.
CREATE TABLE bridge_key (
    -- SHA-256 of the public key, hexadecimal.
    id TEXT PRIMARY KEY,
    -- A name for people.
    label TEXT NOT NULL,
    -- signing or authentication.
    usage TEXT NOT NULL,
    -- PKCS#8, sealed and bound to this row.
    secret {bytes} NOT NULL,
    -- Microseconds UTC when it was made.
    created {int} NOT NULL
);
-- Certificate requests that were made for keys.
CREATE TABLE bridge_csr (
    -- A number, as text.
    id TEXT PRIMARY KEY,
    -- The key.
    key_id TEXT NOT NULL,
    -- The member whose certificate it will be.
    owner TEXT NOT NULL,
    -- The request, DER.
    request {bytes} NOT NULL,
    -- Microseconds UTC when it was made.
    created {int} NOT NULL
);
-- Certificates that were imported for keys.
CREATE TABLE bridge_key_certificate (
    -- SHA-256 of the certificate, hexadecimal.
    id TEXT PRIMARY KEY,
    -- The key.
    key_id TEXT NOT NULL,
    -- The certificate, DER.
    certificate {bytes} NOT NULL,
    -- saved, registration_in_progress, registered, deletion_in_progress.
    status TEXT NOT NULL,
    -- 1: the node uses it.
    active {int} NOT NULL,
    -- Microseconds UTC when it was imported.
    imported {int} NOT NULL
);
-- Settings of the node that the management API changes.
CREATE TABLE bridge_setting (
    -- Its name.
    name TEXT PRIMARY KEY,
    -- Its value, JSON.
    value TEXT NOT NULL
);
-- Who changed what, when. Rows are only added.
CREATE TABLE bridge_audit (
    -- Microseconds UTC, made unique.
    id {int} PRIMARY KEY,
    -- Who: configuration, command line, or the number of an API key.
    author TEXT NOT NULL,
    -- What was done.
    action TEXT NOT NULL,
    -- To what.
    object TEXT NOT NULL,
    -- The change, JSON; never a secret.
    detail TEXT NOT NULL
);
