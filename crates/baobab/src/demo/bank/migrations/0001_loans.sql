-- Requests for a loan and the calls that the bank made for them. The bank knows no national number: a citizen is the
-- pairwise subject inside `access`.
CREATE TABLE bank_application (
    -- Random, 32 hexadecimal characters.
    id TEXT PRIMARY KEY,
    -- The visitor of the session in which the request was made; only this visitor sees it.
    visitor TEXT NOT NULL,
    -- The language of the visitor, `fr` or `en`.
    locale TEXT NOT NULL,
    -- The sum asked for, in francs.
    amount {int} NOT NULL,
    -- Over how many months it is paid back.
    months {int} NOT NULL,
    -- What the loan is for: a code of the bank.
    project TEXT NOT NULL,
    -- `asked` (the citizen has not answered), `refused` or `agreed`.
    state TEXT NOT NULL,
    -- Sealed JSON of identity::rp::Pending while the citizen is at the identity provider.
    pending {bytes},
    -- Sealed JSON of the access token, its end and the pairwise subject, once the citizen agreed.
    access {bytes},
    -- Sealed JSON of the income that the tax office certified; erased when the citizen withdraws the consent.
    income {bytes},
    -- When the request was made, microseconds UTC.
    created_at {int} NOT NULL,
    -- When it last changed, microseconds UTC.
    updated_at {int} NOT NULL
);
CREATE INDEX bank_application_visitor ON bank_application (visitor, created_at);
CREATE TABLE bank_call (
    -- The message id (X-Road-Id) that the bank gave to the call.
    id TEXT PRIMARY KEY,
    -- The request for which it was made.
    application TEXT NOT NULL REFERENCES bank_application (id),
    -- When it began, microseconds UTC.
    called_at {int} NOT NULL,
    -- How long it took, microseconds.
    took_us {int} NOT NULL,
    -- How it ended: a code of the bank (`answered`, `consent_revoked`...).
    outcome TEXT NOT NULL,
    -- The request id of the node (x-road-request-id), or the detail id of its error.
    reference TEXT
);
CREATE INDEX bank_call_application ON bank_call (application, called_at);
