//! The portal's node of the bridge, as far as the portal sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trust::digest::hmac_sha256;
use trust::merkle::{leaf_hash, node_hash};
use trust::note::{Checkpoint, NoteSigner, TlogProof};

/// What the registers answer, by national number, and what they were asked.
#[derive(Default)]
pub(crate) struct Registers {
    pub(crate) person: BTreeMap<String, Value>,
    pub(crate) civil: BTreeMap<String, Vec<Value>>,
    pub(crate) fisc: BTreeMap<String, Vec<Value>>,
    pub(crate) civil_is_down: bool,
    pub(crate) asked: Vec<(String, HeaderMap)>,
}

pub(crate) struct Node {
    pub(crate) url: String,
    registers: Arc<Mutex<Registers>>,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Shared = Arc<Mutex<Registers>>;

impl Node {
    pub(crate) async fn start() -> Self {
        let registers = Shared::default();
        let router = Router::new()
            .route("/r1/BB/GOV/1001/etat-civil/person/{number}", axum::routing::get(person))
            .route("/r1/BB/GOV/{member}/{subsystem}/data-tracker/v2/findUsage", axum::routing::get(usages))
            .with_state(Arc::clone(&registers));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(web::serve(listener, router, stop.clone()));
        Self { url, registers, stop }
    }

    pub(crate) fn set<T>(&self, change: impl FnOnce(&mut Registers) -> T) -> T {
        change(&mut self.registers.lock().unwrap())
    }
}

async fn person(State(shared): State<Shared>, headers: HeaderMap, Path(number): Path<String>) -> Response {
    let mut registers = shared.lock().unwrap();
    registers.asked.push((format!("person {number}"), headers));
    if registers.civil_is_down {
        return down();
    }
    match registers.person.get(&number) {
        Some(person) => axum::Json(person.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, r#"{"type":"urn:baobab:problem:unknown_person"}"#).into_response(),
    }
}

async fn usages(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path((_, subsystem)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut registers = shared.lock().unwrap();
    registers.asked.push((format!("{subsystem} {}", query["userCode"]), headers));
    if subsystem == "etat-civil" && registers.civil_is_down {
        return down();
    }
    let all = if subsystem == "fisc" { &registers.fisc } else { &registers.civil };
    let within = |usage: &&Value| {
        let time = usage["logtime"].as_str().unwrap();
        query.get("periodStart").is_none_or(|start| time >= start.as_str())
            && query.get("periodEnd").is_none_or(|end| time < end.as_str())
    };
    let usages: Vec<&Value> = all.get(&query["userCode"]).into_iter().flatten().filter(within).collect();
    let limit: usize = query["limit"].parse().unwrap();
    let shown: Vec<&Value> = usages.iter().copied().take(limit).collect();
    axum::Json(json!({"totalUsages": usages.len(), "usages": shown})).into_response()
}

fn down() -> Response {
    let error = r#"{"type":"server.clientproxy.network_error","message":"no route","detail":"1"}"#;
    (StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
}

/// The bank read the income, with the citizen's consent.
pub(crate) fn bank_use(logtime: &str, grant: &str) -> Value {
    json!({
        "logtime": logtime, "action": "Demande de prêt", "receiverCode": "2001", "receiverName": "Banque du Fleuve",
        "receiverSystem": "BB/COM/2001/credit", "service": "BB/GOV/1002/fisc/income-statement",
        "purpose": {"code": "credit-application", "text": "Étudier votre demande"},
        "legalBasis": {"code": "consent", "reference": grant}, "fields": ["gross_income", "taxable_income", "strange_field"],
        "messageId": format!("m-{logtime}"), "messageHash": "aGFzaA==", "grantId": grant, "outcome": "answered",
        "proof": null
    })
}

/// The portal read the civil record for the citizen.
pub(crate) fn own_use(logtime: &str) -> Value {
    json!({
        "logtime": logtime, "action": "Consultation", "receiverCode": "1000", "receiverName": "Agence du numérique",
        "receiverSystem": "BB/GOV/1000/portal", "service": "BB/GOV/1001/etat-civil/person",
        "purpose": {"code": "self-access", "text": "Consultation"},
        "legalBasis": {"code": "law", "reference": "Loi 2008-12, art. 62"}, "fields": ["names"],
        "messageId": format!("o-{logtime}"), "messageHash": "aGFzaA==", "grantId": null, "outcome": "answered", "proof": null
    })
}

/// The same use with a proof that it stands second in a ledger of two.
pub(crate) fn proven(mut usage: Value, log: &NoteSigner) -> Value {
    let salt = [5_u8; 32];
    let canonical = canonical(&usage);
    let leaf = hmac_sha256(&salt, canonical.as_bytes());
    let first = leaf_hash(b"first");
    let root = node_hash(&first, &leaf_hash(&leaf));
    let checkpoint = Checkpoint::new("ledger.test", 2, root).unwrap().sign(log).unwrap();
    let proof = TlogProof { extra: None, index: 1, hashes: vec![first], checkpoint };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<String>>().concat();
    usage["proof"] = json!({"salt": hex(&salt), "leaf": hex(&leaf), "index": 1, "tlogProof": proof.to_text()});
    usage
}

/// Sorted names, no space, no proof: the keys of these records are flat enough to do it by hand.
fn canonical(usage: &Value) -> String {
    let mut sorted: BTreeMap<String, Value> = BTreeMap::new();
    for (name, value) in usage.as_object().unwrap().iter().filter(|(name, _)| *name != "proof") {
        let value = match value {
            Value::Object(inner) => {
                let inner: BTreeMap<String, Value> = inner.clone().into_iter().collect();
                serde_json::to_value(inner).unwrap()
            }
            other => other.clone(),
        };
        sorted.insert(name.clone(), value);
    }
    serde_json::to_string(&sorted).unwrap()
}

/// Awa's record, with the warts of the real world.
pub(crate) fn awa() -> Value {
    json!({
        "national_number": crate::AWA,
        "names": [{"kind": "official", "given": "Awa", "family": "Ndiaye"}, {"kind": "usual", "given": "Awa <b>"}],
        "sex": "female",
        "birth": {"date": "1987", "precision": "estimated", "place": {"centre": "751", "commune": "Podor", "name": "Guédé"}},
        "nationality": ["SN"], "status": "alive"
    })
}
