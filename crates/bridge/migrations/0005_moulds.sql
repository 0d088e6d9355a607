-- What the signatures of one signer have in common: certificate, OCSP answer, policy, markup. Kept once, not in every message.
CREATE TABLE bridge_mould (
    -- SHA-256 of the common part.
    digest {bytes} PRIMARY KEY,
    -- The common part (trust::xades::Mould::common). Nothing in it is secret, and it names no citizen.
    common {bytes} NOT NULL,
    -- Microseconds UTC when a node last said that it goes on using it; no message is newer by more than a day.
    seen {int} NOT NULL
);
-- Which mould the signature of a message was made in; its content then holds the values only. Null where the signature is kept whole.
ALTER TABLE bridge_message ADD COLUMN mould {bytes};
