//! fisc
