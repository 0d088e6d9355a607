-- Which key an act was about: SHA-256 of the credential id of a passkey, hexadecimal; null where the act names none.
ALTER TABLE identity_events ADD COLUMN key_id TEXT;
