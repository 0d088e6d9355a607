-- Sessions of people at the sites of one organisation.
CREATE TABLE web_session (
    -- SHA-256 of the random id in the cookie: who reads the table cannot take over a session.
    id {bytes} PRIMARY KEY,
    -- The site that the session belongs to; a cookie of another site opens nothing.
    site TEXT NOT NULL,
    -- What the site remembers of the visit, sealed to this row.
    data {bytes} NOT NULL,
    -- When it began, microseconds UTC: decides the absolute end.
    began_at {int} NOT NULL,
    -- When it was last used, microseconds UTC, to the minute: decides the idle end.
    seen_at {int} NOT NULL
);
CREATE INDEX web_session_seen ON web_session (seen_at);
