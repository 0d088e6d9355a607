-- The member whom a signing certificate names: the owner of the node, or a client whom the node signs for. Null for authentication
-- certificates, and in rows older than this column, which name the owner.
ALTER TABLE bridge_key_certificate ADD COLUMN member TEXT;
