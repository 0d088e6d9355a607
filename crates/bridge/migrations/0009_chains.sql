-- SHA-512 of the hash chain of a batch signature (sig-hashchain.xml): the signature is of many messages, its chain of this one. Null where the
-- signature is of this message alone, where nothing is told (mode none), and in rows older than this column.
ALTER TABLE bridge_message ADD COLUMN chain_digest {bytes};
