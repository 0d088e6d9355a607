//! What a node says about a refusal: once at each node that had a part in it, with the id that the caller got, and no
//! personal datum.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, Once, OnceLock};

use bridge::testing::{CLIENT, ECHO, PERSON, Reply, SoapService, two_nodes_with};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Metadata, Subscriber};

use crate::soap_exchange::{XML, request, text};

/// Every event of the process as one line, whoever caused it: tests pick theirs by the id of the fault.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Lines {
    fn listen() -> Self {
        static LINES: OnceLock<Lines> = OnceLock::new();
        static INSTALL: Once = Once::new();
        let lines = LINES.get_or_init(Self::default).clone();
        INSTALL.call_once(|| tracing::subscriber::set_global_default(lines.clone()).unwrap());
        lines
    }

    /// What is said on this thread only, as long as the guard lives.
    pub(crate) fn of_this_thread() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let guard = tracing::subscriber::set_default(lines.clone());
        (lines, guard)
    }

    /// The lines that hold this text.
    pub(crate) fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// The lines that name the fault of this answer.
    fn about(&self, reply: &Reply) -> Vec<String> {
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        self.with(&detail)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_logged_once_by_each_node_that_had_a_part_in_it() {
    let lines = Lines::listen();
    let nodes = two_nodes_with(901, |_, provider| provider.rights.clear()).await;

    let of_the_caller = nodes.send("GET", &format!("/r1/{ECHO}"), &[("X-Road-Client", "BB/COM")], "").await;
    let told = lines.about(&of_the_caller);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("BB/COM/2001/node-1") && told[0].contains("client.bad_request"), "{told:#?}");

    let number = "1 870 1999 00042 7".replace(' ', "");
    let path = format!("{PERSON}/{number}");
    let of_the_provider = nodes.call("GET", &path, &[("X-Road-Client", CLIENT)], "").await;
    assert_eq!(of_the_provider.error_type(), "server.serverproxy.access_denied");
    let told = lines.about(&of_the_provider);
    assert_eq!(told.len(), 2, "{told:#?}");
    for node in ["BB/GOV/1002/node-1", "BB/COM/2001/node-1"] {
        assert_eq!(told.iter().filter(|line| line.contains(node)).count(), 1, "{told:#?}");
    }
    assert!(lines.with(&number).is_empty(), "a national number stands in the log of the program");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_of_a_service_are_the_callers_and_not_the_logs() {
    let lines = Lines::listen();
    let nodes = two_nodes_with(903, |_, _| {}).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    let reply = nodes.send("POST", "/", &[XML], request("getFault", "v1", "w-1", "", "")).await;
    assert!(text(&reply).contains("no such parcel"), "{}", text(&reply));
    assert!(!lines.with("the other side says why").is_empty());
    assert!(lines.with("no such parcel").is_empty() && lines.with("Client.Unknown").is_empty());
    nodes.stop().await;
}
