//! The operator console as a browser without scripts uses it.

use std::time::Duration;

use bridge::Node;
use bridge::api::{Role, operations_info};
use bridge::console::{self, Reach};
use bridge::testing::{CLIENT, ECHO, Reply, TwoNodes, two_nodes, two_nodes_with};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use trust::note::Opening;
use trust::note::policy::Policy;

/// A browser at the console of a node.
pub(crate) struct Operator {
    base: String,
    cookie: String,
}

impl Operator {
    pub(crate) fn at(node: &Node) -> Self {
        Self { base: format!("http://{}", node.addresses().admin), cookie: String::new() }
    }

    /// The same session at another process of the node.
    pub(crate) fn moved_to(self, node: &Node) -> Self {
        Self { base: Self::at(node).base, ..self }
    }

    async fn signed_in(nodes: &TwoNodes, roles: &[Role]) -> Self {
        let key = nodes.api_key(&nodes.provider, roles).await;
        let mut operator = Self::at(&nodes.provider);
        let answer = operator.post("/console/sign-in", &[("key", &key)]).await;
        assert_eq!(answer.status, 303, "{}", text(&answer));
        operator
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, String::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let fields: Vec<(&str, &str)> = fields.to_vec();
        self.send("POST", path, web::form_text(&fields)).await
    }

    /// A page that must be there.
    pub(crate) async fn page(&mut self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", text(&reply));
        text(&reply)
    }

    async fn send(&mut self, method: &str, path: &str, body: String) -> Reply {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("accept", "text/html")
            .header("origin", &self.base)
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::<bytes::Bytes>::from(body))
            .unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), client.request(request)).await.unwrap().unwrap();
        let (head, body) = answer.into_parts();
        if let Some(cookie) = head.headers.get("set-cookie") {
            cookie.to_str().unwrap().split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        let headers: HeaderMap = head.headers;
        Reply { status: head.status, headers, body: body.collect().await.unwrap().to_bytes() }
    }
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

/// What the forms ask for, with a token that no session has.
const FORM: &str = "csrf=x&who=a&enabled=true&client=a&key=wrong";

/// An address in the place of its mould.
fn filled(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').map(|one| if one.starts_with('{') { "1" } else { one }).collect();
    segments.join("/")
}

/// The value of a hidden field on a page.
fn hidden(page: &str, name: &str) -> String {
    let field = page.split("<input").find(|field| field.contains(&format!("name=\"{name}\""))).unwrap();
    field.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The address of the page of a service.
async fn service_page(operator: &mut Operator, code: &str) -> String {
    let list = operator.page("/console/services").await;
    let row = list.split("<tr>").find(|row| row.contains(&format!("<b>{code}</b>"))).unwrap();
    row.split("href=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_the_sign_in_page_and_nothing_else() {
    let nodes = two_nodes(930).await;
    let mut stranger = Operator::at(&nodes.provider);
    for (method, path, reach) in console::reach() {
        let path = filled(&path);
        let reply = stranger.send(method.as_str(), &path, FORM.to_owned()).await;
        let shown = text(&reply);
        let open = reach == Reach::Strangers && method == "GET";
        assert!(open || reply.status == 401, "{method} {path}: {}", reply.status);
        assert!(!shown.contains(ECHO) && !shown.contains("BB/COM/2001/credit"), "{method} {path}");
    }
    assert_eq!(stranger.cookie, "", "no session for strangers");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_opens_for_the_roles_that_may_call_its_operation_over_the_api_and_tells_the_others_which_it_needs() {
    let nodes = two_nodes(934).await;
    let operations = operations_info();
    for role in Role::ALL {
        let mut operator = Operator::signed_in(&nodes, &[role]).await;
        let home = operator.page("/console").await;
        for (method, path, reach) in console::reach() {
            let needed = match reach {
                Reach::Strangers | Reach::EveryKey => &Role::ALL,
                Reach::Operation(id) => operations.iter().find(|known| known.id == id).unwrap().roles,
            };
            let reply = operator.send(method.as_str(), &filled(&path), FORM.to_owned()).await;
            let (shown, refused) = (text(&reply), !needed.contains(&role));
            assert_eq!(shown.contains("Votre clé ne permet pas cette page"), refused, "{method} {path} as {role:?}");
            if refused {
                assert_eq!(reply.status, 403, "{method} {path} as {role:?}");
                assert!(needed.iter().all(|role| shown.contains(role.word())), "{method} {path}: {shown}");
                let link = format!("href=\"{path}\"");
                assert!(method == "POST" || !home.contains(&link), "{path} is shown to {role:?}");
            }
        }
    }
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_is_given_taken_and_given_back_in_a_few_clicks_and_holds_at_the_next_call() {
    let nodes = two_nodes_with(931, |_, provider| provider.rights.clear()).await;
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.access_denied");
    let roles = [Role::XroadServiceAdministrator, Role::XroadSecurityOfficer];
    let mut operator = Operator::signed_in(&nodes, &roles).await;
    let page = service_page(&mut operator, "echo").await;
    let csrf = hidden(&operator.page(&page).await, "csrf");

    let wrong = operator.post(&format!("{page}/give"), &[("csrf", &csrf), ("who", "BB/COM/9999/nobody")]).await;
    assert!(text(&wrong).contains("who-error"), "an unknown client is refused with a word beside the field");
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.access_denied");

    let given = operator.post(&format!("{page}/give"), &[("csrf", &csrf), ("who", CLIENT)]).await;
    assert_eq!(given.status, 303, "{}", text(&given));
    assert_eq!(nodes.get(ECHO).await.status, 200);

    let shown = operator.page(&page).await;
    assert!(shown.contains(CLIENT) && shown.contains(&format!("{page}/take")), "{shown}");
    let taken = operator.post(&format!("{page}/take"), &[("csrf", &csrf), ("who", CLIENT)]).await;
    assert_eq!(taken.status, 303);
    assert_eq!(nodes.get(ECHO).await.error_type(), "server.serverproxy.access_denied");

    // The notice of the last change carries a form that takes it back.
    let notice = operator.page(&page).await;
    let undo = notice.split("role=\"status\"").nth(1).unwrap();
    assert!(undo.contains(&format!("action=\"{page}/give\"")), "{undo}");
    let undone =
        operator.post(&format!("{page}/give"), &[("csrf", &hidden(undo, "csrf")), ("who", &hidden(undo, "who"))]).await;
    assert_eq!(undone.status, 303);
    assert_eq!(nodes.get(ECHO).await.status, 200);

    let changes = operator.page("/console/changes").await;
    assert!(changes.matches(ECHO).count() >= 3, "each change is written down: {changes}");

    // Each line is committed to, and the operator takes the proof away.
    let entries = nodes.provider.registry().audit_entries(100).await.unwrap();
    // Those of its start went when it started.
    let waiting = entries.iter().filter(|entry| entry.index.is_none()).count();
    assert!(waiting >= 4 && changes.matches("/proof.tlog-proof\"").count() == entries.len() - waiting, "on their way");
    let early = operator.get(&format!("/console/changes/{}/proof.tlog-proof", entries[0].id())).await;
    assert_eq!(early.status, 503);
    assert_eq!(nodes.provider.commit_acts_now().await, Ok(waiting as u64));
    let changes = operator.page("/console/changes").await;
    assert_eq!(changes.matches("/proof.tlog-proof\"").count(), entries.len());
    let policy = Policy::log_only(nodes.ledger.ledger.verifier());
    for entry in nodes.provider.registry().audit_entries(100).await.unwrap() {
        let proof = operator.page(&format!("/console/changes/{}/proof.tlog-proof", entry.id())).await;
        let opened = Opening::verify(&proof, &policy).unwrap();
        let record: serde_json::Value = serde_json::from_str(&opened.record).unwrap();
        assert_eq!((record["actor"].as_str(), record["action"].as_str()), (Some(&*entry.author), Some(&*entry.action)));
        assert_eq!((&record["detail"], Some(opened.index)), (&entry.detail, entry.index));
    }
    assert!(entries.iter().any(|entry| entry.action == "give_right" && entry.author.starts_with("api-key")));
    assert!(entries.iter().any(|entry| entry.action == "add_api_key"));
    assert_eq!(operator.get("/console/changes/7/proof.tlog-proof").await.status, 404);

    // Whoever rewrites the audit is contradicted.
    let store = nodes.provider.message_log().store();
    let rewrite = |tx: &mut store::Tx<'_>| {
        tx.execute("UPDATE bridge_audit SET author = 'api-key 999' WHERE action = 'give_right'", &[]).map(drop)
    };
    store.tx("test.rewrite", rewrite).await.unwrap_or_else(|error: store::StoreError| unreachable!("{error}"));
    let given = entries.iter().find(|entry| entry.action == "give_right").unwrap();
    assert_eq!(operator.get(&format!("/console/changes/{}/proof.tlog-proof", given.id())).await.status, 409);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_may_only_look_changes_nothing_and_a_foreign_form_neither() {
    let nodes = two_nodes(932).await;
    let mut observer = Operator::signed_in(&nodes, &[Role::XroadSecurityserverObserver]).await;
    let page = service_page(&mut observer, "echo").await;
    let csrf = hidden(&observer.page(&page).await, "csrf");
    let refused = observer.post(&format!("{page}/take"), &[("csrf", &csrf), ("who", CLIENT)]).await;
    assert_eq!(refused.status, 403, "{}", text(&refused));
    let mut operator = Operator::signed_in(&nodes, &[Role::XroadServiceAdministrator]).await;
    let foreign = operator.post(&format!("{page}/take"), &[("csrf", &csrf), ("who", CLIENT)]).await;
    assert_eq!(foreign.status, 403, "{}", text(&foreign));
    assert_eq!(nodes.get(ECHO).await.status, 200);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanges_are_found_and_their_evidence_is_downloaded() {
    let nodes = two_nodes(933).await;
    assert_eq!(nodes.call("GET", ECHO, &[("X-Road-Id", "looked-for")], "").await.status, 200);
    let roles = [Role::XroadSystemAdministrator, Role::XroadSecurityserverObserver];
    let mut operator = Operator::signed_in(&nodes, &roles).await;
    assert!(operator.page("/console").await.contains("BB/GOV/1002/node-1"));
    assert!(operator.page("/console/clients").await.contains("BB/GOV/1002"));
    assert!(!operator.page("/console/exchanges?message=other").await.contains("/console/exchanges/1"));
    let wrong = operator.page("/console/exchanges?from=yesterday").await;
    assert!(wrong.contains("from-error"), "{wrong}");
    let found = operator.page("/console/exchanges?message=looked-for").await;
    let record = found.split("href=\"/console/exchanges/").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(operator.page(&format!("/console/exchanges/{record}")).await.contains("looked-for"));
    let evidence = operator.get(&format!("/console/exchanges/{record}/evidence.asice")).await;
    assert_eq!(evidence.status, 200, "{}", text(&evidence));
    let container = trust::asic::Container::read(&evidence.body).unwrap();
    assert!(container.write(civic::Timestamp::from_seconds(0)).is_ok());
    assert_eq!(operator.get("/console/exchanges/7").await.status, 404);
    assert!(operator.page("/console/exchanges?subject=1751198700421").await.contains("subject"));

    // Each look is written down, without the number of whoever was looked for.
    let entries = nodes.provider.registry().audit_entries(100).await.unwrap();
    let looks: Vec<(&str, &str)> =
        entries.iter().rev().map(|entry| (entry.action.as_str(), entry.object.as_str())).collect();
    let message = "message looked-for";
    let expected = [
        ("search_message_log", "message=other"),
        ("search_message_log", "message=looked-for"),
        ("view_message", message),
        ("export_evidence", message),
    ];
    let began = looks.iter().position(|look| *look == expected[0]).unwrap();
    assert_eq!(looks[began..][..4], expected);
    assert!(!looks.iter().any(|(_, object)| object.contains("1751198700421")), "{looks:?}");
    nodes.stop().await;
}
