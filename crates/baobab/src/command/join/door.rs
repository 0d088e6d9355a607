//! The door that strangers ask at: `POST /join`, `GET /join/{digest}`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use civic::SharedClock;
use http::{Extensions, StatusCode};
use serde::Serialize;
use web::{PeerLimit, Problem};

use super::desk::{Taken, WAITING_MAX, WAITING_OF_PEER_MAX};
use super::{BYTES_MAX, Desk, JoinAnswer, JoinId, JoinRequest};

/// New requests of one address: as many at once, then one every two seconds.
const BURST: u32 = 30;
const PAUSE: Duration = Duration::from_secs(2);

struct Door {
    desk: Desk,
    limit: PeerLimit,
    clock: SharedClock,
}

/// `POST /join`, `GET /join/{digest}`.
pub(in crate::command) fn router(desk: Desk, clock: SharedClock) -> Router {
    Router::new()
        .route("/join", post(ask))
        .route("/join/{id}", get(look))
        .layer(DefaultBodyLimit::max(BYTES_MAX))
        .with_state(Arc::new(Door { desk, limit: PeerLimit::new(BURST, PAUSE), clock }))
}

#[derive(Serialize)]
struct Receipt {
    code: String,
    id: String,
}

async fn ask(State(door): State<Arc<Door>>, extensions: Extensions, body: Bytes) -> Result<Response, Problem> {
    let peer = web::peer_of(&extensions);
    let taken = tokio::task::spawn_blocking(move || door.take(&body, peer)).await.map_err(Problem::internal)?;
    let id = taken?;
    Ok((StatusCode::ACCEPTED, Json(Receipt { code: id.code(), id: id.0 })).into_response())
}

async fn look(State(door): State<Arc<Door>>, Path(id): Path<String>) -> Result<Json<JoinAnswer>, Problem> {
    let id = JoinId::parse(&id).ok_or_else(Problem::not_found)?;
    let status = tokio::task::spawn_blocking(move || door.desk.status(&id)).await.map_err(Problem::internal)?;
    let status = status.map_err(|error| Problem::internal(format!("{error:#}")))?;
    status.map(Json).ok_or_else(Problem::not_found)
}

impl Door {
    /// A node asks again and again until it is answered: what is known already costs a look and no permission.
    fn take(&self, bytes: &[u8], peer: IpAddr) -> Result<JoinId, Problem> {
        let id = JoinId::of(bytes);
        if self.desk.knows(&id) {
            return Ok(id);
        }
        if !self.limit.take(peer, self.clock.now()) {
            return Err(Problem::too_many("Too many requests came from this address; try again in a minute."));
        }
        JoinRequest::from_bytes(bytes).map_err(|error| Problem::bad_request(format!("{error:#}.")))?;
        match self.desk.take_from(bytes, peer).map_err(|error| Problem::internal(format!("{error:#}")))? {
            Taken::Kept(id) => {
                tracing::info!(code = id.code(), "a node asks to join");
                Ok(id)
            }
            Taken::Full => Err(Problem::too_many(format!(
                "{WAITING_MAX} requests wait already: the operator must approve or refuse some first."
            ))),
            Taken::PeerFull => Err(Problem::too_many(format!(
                "{WAITING_OF_PEER_MAX} requests from this address wait already: the operator must approve or refuse some first."
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::path::Path;

    use axum::body::Body;
    use axum::extract::ConnectInfo;
    use civic::testing::TestClock;
    use http::Request;
    use tower::ServiceExt as _;

    use super::super::tests::request;
    use super::*;

    fn door(folder: &Path) -> Router {
        let clock: SharedClock = Arc::new(TestClock::at("2026-11-21T22:40:00Z"));
        router(Desk::open(folder, Duration::from_hours(24), Arc::clone(&clock)).unwrap(), clock)
    }

    async fn post_from(door: &Router, peer: &str, body: Vec<u8>) -> StatusCode {
        let peer: SocketAddr = format!("{peer}:40000").parse().unwrap();
        let request = Request::post("/join").extension(ConnectInfo(peer)).body(Body::from(body)).unwrap();
        door.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn one_stranger_uses_up_its_own_limit_only() {
        let folder = tempfile::tempdir().unwrap();
        let door = door(folder.path());
        let wish = request(folder.path());
        let good = wish.to_bytes().unwrap();
        assert_eq!(post_from(&door, "192.0.2.1", good.clone()).await, StatusCode::ACCEPTED);
        for _ in 1..BURST {
            assert_eq!(post_from(&door, "192.0.2.1", b"{}".to_vec()).await, StatusCode::BAD_REQUEST);
        }
        assert_eq!(post_from(&door, "192.0.2.1", b"{}".to_vec()).await, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(post_from(&door, "192.0.2.1", good).await, StatusCode::ACCEPTED, "it waits already");
        let other = JoinRequest { address: "10.0.0.3:5500".to_owned(), ..wish };
        assert_eq!(post_from(&door, "192.0.2.2", other.to_bytes().unwrap()).await, StatusCode::ACCEPTED);
    }
}
