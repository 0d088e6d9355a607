use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use web::{ClientLimits, Failure, Form, HealthCheck, HttpClient, HttpError, Problem, health, serve};

async fn started(router: Router) -> (String, CancellationToken, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(listener, router, shutdown.clone()));
    (url, shutdown, server)
}

fn small() -> HttpClient {
    HttpClient::new(ClientLimits { timeout: Duration::from_millis(500), answer_bytes_max: 100 }, None)
}

async fn echo(Form(fields): Form<Vec<(String, String)>>) -> axum::Json<Value> {
    axum::Json(json!(fields))
}

#[tokio::test]
async fn a_form_and_json_go_there_and_back() {
    let (url, _stop, _) =
        started(Router::new().route("/echo", post(echo)).route("/j", get(|| async { "{\"a\":1}" }))).await;
    let reply = small().post_form(&format!("{url}/echo"), &[], &[("a b", "é&=+%"), ("c", "")]).await.unwrap();
    assert_eq!(reply.json::<Value>().unwrap(), json!([["a b", "é&=+%"], ["c", ""]]));
    assert_eq!(small().get_json::<Value>(&format!("{url}/j?x=1"), &[]).await.unwrap()["a"], 1);
}

#[tokio::test]
async fn what_can_go_wrong_outside_has_a_name() {
    let router = Router::new()
        .route("/large", get(|| async { "x".repeat(101) }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(9)).await }))
        .route("/no", get(|| async { Problem::not_found() }));
    let (url, stop, server) = started(router).await;
    let client = small();
    assert!(matches!(client.get(&format!("{url}/large"), &[]).await, Err(HttpError::TooLarge { limit: 100, .. })));
    assert!(
        matches!(client.get(&format!("{url}/slow?secret=1"), &[]).await, Err(error @ HttpError::Slow { .. }) if !error.to_string().contains("secret"))
    );
    assert!(
        matches!(client.get_json::<Value>(&format!("{url}/no"), &[]).await, Err(HttpError::Status { status, .. }) if status == 404)
    );
    assert!(matches!(client.get("ftp://x/", &[]).await, Err(HttpError::BadUrl(_))));
    assert!(matches!(client.get("/path", &[]).await, Err(HttpError::BadUrl(_))));
    let secure = url.replace("http:", "https:");
    assert!(
        matches!(client.get(&secure, &[]).await, Err(HttpError::Unreachable { .. })),
        "https needs somebody to trust"
    );
    stop.cancel();
    server.await.unwrap().unwrap();
    assert!(matches!(client.get(&url, &[]).await, Err(HttpError::Unreachable { .. })));
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_server_stops() {
    let slow = get(|| async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        "whole"
    });
    let (url, stop, server) = started(Router::new().route("/", slow)).await;
    let asking = tokio::spawn(async move { small().get(&url, &[]).await.unwrap().body });
    tokio::time::sleep(Duration::from_millis(80)).await;
    stop.cancel();
    assert_eq!(asking.await.unwrap(), "whole");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn health_and_metrics_tell_how_it_goes() {
    let mut registry = Registry::default();
    let metrics = web::WebMetrics::register("test", &mut registry);
    let registry = Arc::new(Mutex::new(registry));
    let mut site = crate::site();
    site.metrics = Some(metrics);
    let pages = site.wrap(Router::new().route("/page", get(|| async { "x" })));
    let checks = vec![
        HealthCheck::new("store", || async { Ok(()) }),
        HealthCheck::new("bridge", || async { Err(Failure("closed".into())) }),
    ];
    let (url, _stop, _) = started(pages).await;
    let (admin, _stop, _) = started(health::router(checks, registry)).await;
    let client = HttpClient::default();
    client.get(&format!("{url}/page"), &[]).await.unwrap();
    let report = client.get(&format!("{admin}/health"), &[]).await.unwrap();
    assert_eq!(report.status, 503);
    assert_eq!(report.json::<Value>().unwrap()["checks"], json!({"store": "ok", "bridge": "closed"}));
    let text = client.get(&format!("{admin}/metrics"), &[]).await.unwrap().body;
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(text.contains("baobab_web_requests_total{site=\"test\",status=\"200\"} 1"), "{text}");
}
