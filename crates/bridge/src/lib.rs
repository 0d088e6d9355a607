//! The exchange node: X-Road's REST protocol between organisations, signed, authorised, logged and provable.

pub mod access;
pub mod fault;
pub mod message;
pub mod transport;
