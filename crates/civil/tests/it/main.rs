//! The civil-status office as its node and its neighbours see it: over HTTP, on every storage engine.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod communes;
mod person;
mod register;

use axum::Router;
use civic::Timestamp;
use tokio::net::TcpListener;
use web::{HttpClient, Reply};

/// 21 November 2026.
const NOW: Timestamp = Timestamp::from_seconds(1_795_300_800);

/// The service on a socket of its own; it goes away with the test.
struct Service {
    url: String,
    client: HttpClient,
}

impl Service {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, client: HttpClient::default() }
    }

    async fn get(&self, path: &str, headers: &[(&'static str, &str)]) -> Reply {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect();
        self.client.get(&format!("{}{path}", self.url), &headers).await.unwrap()
    }
}
