//! The certificate by which information systems know the node over HTTPS. It lies in the keys folder, where its operator changes it; here
//! it is shown and given out.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value as Json;
use trust::cert::Certificate;

use super::call::{Call, Reply, Result};
use super::certificates::details;
use super::error::ApiError;

/// A block of a tar archive.
const BLOCK: usize = 512;

pub(super) async fn certificate(call: Call) -> Result {
    let shown: Json = details(&present(&call)?);
    Ok(Reply::json(shown))
}

/// As X-Road gives it: PEM and DER in one archive.
pub(super) async fn export(call: Call) -> Result {
    let certificate = present(&call)?;
    let modified = u64::try_from(call.core.clock.now().seconds()).unwrap_or_default();
    let mut archive = Vec::new();
    archive.extend(entry("./cert.pem", certificate.to_pem().as_bytes(), modified));
    archive.extend(entry("./cert.cer", certificate.der(), modified));
    archive.extend([0; 2 * BLOCK]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&archive).map_err(ApiError::internal)?;
    let bytes: Bytes = packed.finish().map_err(ApiError::internal)?.into();
    Ok(Reply::File { bytes, content_type: "application/gzip", name: "certs.tar.gz".to_owned() })
}

fn present(call: &Call) -> Result<Certificate> {
    let missing = || {
        let what = "this node has no HTTPS with information systems: name an address for it in its configuration";
        ApiError::not_found("certificate_not_found", what)
    };
    let der = call.core.internal.as_ref().and_then(|identity| identity.certificate()).ok_or_else(missing)?;
    Certificate::from_der(&der).map_err(ApiError::internal)
}

/// A file of a tar archive (POSIX.1-1988, ustar).
fn entry(name: &str, content: &[u8], modified: u64) -> Vec<u8> {
    let fields: [(usize, String); 9] = [
        (100, name.to_owned()),
        (8, format!("{:07o}", 0o644)),
        (8, format!("{:07o}", 0)),
        (8, format!("{:07o}", 0)),
        (12, format!("{:011o}", content.len())),
        (12, format!("{modified:011o}")),
        // The checksum counts itself as spaces.
        (8, " ".repeat(8)),
        (1, "0".to_owned()),
        (100, String::new()),
    ];
    let mut header = Vec::with_capacity(BLOCK);
    for (width, text) in fields {
        header.extend(text.bytes().chain(std::iter::repeat(0)).take(width));
    }
    header.extend(b"ustar\x0000");
    header.resize(BLOCK, 0);
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    let sum = format!("{sum:06o}\0 ");
    let mut file: Vec<u8> =
        header.iter().copied().take(148).chain(sum.bytes()).chain(header.iter().copied().skip(156)).collect();
    file.extend_from_slice(content);
    file.resize(file.len().next_multiple_of(BLOCK), 0);
    file
}
