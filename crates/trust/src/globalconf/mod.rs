//! The global configuration of a federation (PR-GCONF): who is a member, on which nodes, which authorities are trusted.
//!
//! - [`SharedParams`] and [`PrivateParams`]: the values; [`write_shared`] and [`write_private`] write them, [`read_shared`]
//!   and [`read_private`] read them, in versions 2 to 6 ([`ConfigurationVersion`]).
//! - [`Anchor`]: where a node gets its configuration and which certificates may sign it.
//! - [`Directory`]: the signed table of contents that a source serves; [`Directory::verify`] checks signature and expiry,
//!   [`DirectoryPart::check`] the digest of each file.
//! - [`TransparencyLogs`]: the logs of a federation with their witnesses and quorum, an optional part.
//! - [`TrustDir`]: the files of one or several federations, loaded and indexed for a node or for `baobab verify`.
//!
//! Whoever holds the key of the configuration source decides whom every node trusts; an expired configuration is no
//! configuration ([`TrustDir::check_fresh`]).
//!
//! ```
//! use trust::globalconf::{ConfigurationVersion, SharedParams, read_shared, write_shared};
//! let params = SharedParams::empty("BB");
//! assert_eq!(read_shared(write_shared(&params, ConfigurationVersion::V6).as_bytes()).unwrap(), params);
//! ```

mod directory;
mod logs;
mod read;
mod trust_dir;
mod values;
mod write;

pub use directory::{
    Directory, DirectoryError, DirectoryPart, PRIVATE_PARAMETERS, SHARED_PARAMETERS, SIGNATURE_ALGORITHMS,
};
pub use logs::{FederationLog, LOGS_BYTES_MAX, LOGS_MAX, LogsError, TRANSPARENCY_LOGS, TransparencyLogs};
pub use read::{FILE_BYTES_MAX, ReadError, read_anchor, read_private, read_shared};
pub use trust_dir::{FederatedInstance, TrustDir, TrustDirError, TrustedCa, TrustedTsa};
pub use values::{
    AcmeServer, Anchor, AnchorSource, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationSource, ConfigurationVersion,
    CostType, CsrFormat, GlobalGroup, ManagementService, Member, MemberClass, OcspInfo, PrivateParams, SecurityServer,
    SharedParams, Subsystem,
};
pub use write::{write_anchor, write_private, write_shared};
