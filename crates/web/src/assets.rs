//! The few static files of the house: one style sheet, one picture. Named by their content, cached for a year.

use axum::Router;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, StatusCode, header::IF_NONE_MATCH};

/// A static file that a router serves under `/assets/`, for instance the passkey module of the identity provider.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// The last part of its address: `/assets/NAME`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

impl Asset {
    /// The address that pages use: it changes with the content, so a browser may keep the file for a year.
    pub fn href(&self) -> String {
        format!("/assets/{}?v={:016x}", self.name, self.fingerprint())
    }

    /// FNV-1a over the bytes: tells versions apart; no protection is asked of it.
    const fn fingerprint(&self) -> u64 {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let mut rest = self.bytes;
        while let Some((byte, others)) = rest.split_first() {
            hash = (hash ^ (*byte as u64)).wrapping_mul(0x0100_0000_01b3);
            rest = others;
        }
        hash
    }
}

/// The style sheet of every page.
pub const STYLE: Asset =
    Asset { name: "baobab.css", media_type: "text/css; charset=utf-8", bytes: include_bytes!("../assets/baobab.css") };

/// The mark of the house.
pub const MARK: Asset =
    Asset { name: "baobab.svg", media_type: "image/svg+xml", bytes: include_bytes!("../assets/baobab.svg") };

/// Serves the style sheet, the mark and the given files. `Site::wrap` already mounts it with [`crate::Site::assets`].
pub fn router<S: Clone + Send + Sync + 'static>(more: &[Asset]) -> Router<S> {
    let mut router = Router::new();
    for asset in [STYLE, MARK].iter().chain(more).copied() {
        let path = format!("/assets/{}", asset.name);
        router = router.route(
            &path,
            get(move |RawQuery(query): RawQuery, headers: HeaderMap| async move {
                serve(asset, query.as_deref(), &headers)
            }),
        );
    }
    router
}

fn serve(asset: Asset, query: Option<&str>, headers: &HeaderMap) -> Response {
    let version = format!("{:016x}", asset.fingerprint());
    let tag = format!("\"{version}\"");
    let lasting = query.and_then(|query| query.strip_prefix("v=")) == Some(version.as_str());
    let cache = if lasting { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, [(CACHE_CONTROL, cache), (ETAG, tag.as_str())]).into_response();
    }
    ([(CONTENT_TYPE, asset.media_type), (CACHE_CONTROL, cache), (ETAG, tag.as_str())], asset.bytes).into_response()
}
