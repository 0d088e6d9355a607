-- The records under the stamp in their order, each as its id (8 bytes, big-endian) and the digest that is stamped (64 bytes): the way of each
-- to the stamped file is made anew from them. Null in rows of older versions and of restored archives, whose records keep their own.
ALTER TABLE bridge_stamp ADD COLUMN leaves {bytes};
