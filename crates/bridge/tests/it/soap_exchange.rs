//! Exchanges by SOAP: through two nodes, signed, logged, with attachments, faults and metaservices.

use bridge::messagelog::{RecordKind, Role};
use bridge::registry::{Author, Change, Subject};
use bridge::testing::{
    ECHO, PROVIDER, Reply, SERVICE_FAULT, SOAP_SERVICES, SoapService, TwoNodes, two_nodes, two_nodes_on, two_nodes_with,
};

pub(crate) const XML: (&str, &str) = ("content-type", "text/xml; charset=utf-8");

/// A request of the test's client; `more` stands in the header, `inside` in the body.
pub(crate) fn request(code: &str, version: &str, id: &str, more: &str, inside: &str) -> String {
    let version =
        if version.is_empty() { String::new() } else { format!("<i:serviceVersion>{version}</i:serviceVersion>") };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:x=\"http://x-road.eu/xsd/xroad.xsd\" xmlns:i=\"http://x-road.eu/xsd/identifiers\"><e:Header>\n\
         <x:client i:objectType=\"SUBSYSTEM\"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>COM</i:memberClass>\
         <i:memberCode>2001</i:memberCode><i:subsystemCode>credit</i:subsystemCode></x:client>\n\
         <x:service i:objectType=\"SERVICE\"><i:xRoadInstance>BB</i:xRoadInstance><i:memberClass>GOV</i:memberClass>\
         <i:memberCode>1002</i:memberCode><i:subsystemCode>fisc</i:subsystemCode><i:serviceCode>{code}</i:serviceCode>{version}\
         </x:service>\n<x:id>{id}</x:id>\n<x:protocolVersion>4.0</x:protocolVersion>{more}</e:Header>\
         <e:Body><p:{code} xmlns:p=\"urn:p\">{inside}</p:{code}></e:Body></e:Envelope>"
    )
}

async fn ask(nodes: &TwoNodes, code: &str, id: &str) -> Reply {
    nodes.send("POST", "/", &[XML], request(code, "v1", id, "", "é")).await
}

pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[track_caller]
pub(crate) fn assert_fault(reply: &Reply, code: &str) {
    assert_eq!(reply.status, 500, "{}", text(reply));
    assert_eq!(reply.header("content-type"), "text/xml; charset=UTF-8");
    let body = text(reply);
    assert!(body.contains(&format!("<faultcode>{code}</faultcode>")), "{code}: {body}");
    let detail = body.split("<faultDetail xmlns=\"\">").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(detail.len(), 36, "the detail is the id under which it is logged: {body}");
}

async fn offered(seed: u64) -> (TwoNodes, SoapService) {
    let nodes = two_nodes(seed).await;
    let service = SoapService::start().await;
    service.offer(&nodes).await;
    (nodes, service)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_answered_signed_and_logged_on_both_sides_on_every_engine() {
    let consumers = store::testing::engines().await;
    let providers = store::testing::engines().await;
    for stores in consumers.into_iter().zip(providers) {
        let nodes = two_nodes_on(700, stores, |_, _| {}).await;
        let service = SoapService::start().await;
        service.offer(&nodes).await;
        let sent = request("getState", "v1", "s-1", "<x:issue>case 7</x:issue>", "é");
        let headers = [XML, ("SOAPAction", "\"urn:a\""), ("X-Road-Extra", "dropped"), ("Authorization", "dropped")];
        let reply = nodes.send("POST", "/", &headers, sent.clone()).await;
        assert_eq!(reply.status, 200, "{}", text(&reply));
        assert_eq!(reply.header("content-type"), "text/xml; charset=UTF-8");
        assert!(text(&reply).contains("fine é") && text(&reply).contains("<x:issue>case 7</x:issue>"));
        assert!(
            text(&reply)
                .contains("<x:id>s-1</x:id>\n<x:requestHash algorithmId=\"http://www.w3.org/2001/04/xmlenc#sha512\">")
        );
        let seen = &service.seen()[0];
        assert_eq!(seen.body.as_ref(), sent.as_bytes(), "the message comes byte for byte");
        assert_eq!(seen.headers.get("soapaction").unwrap(), "\"urn:a\"");
        assert!(!seen.headers.contains_key("authorization") && !seen.headers.contains_key("x-road-extra"));
        for (node, role) in [(&nodes.consumer, Role::Consumer), (&nodes.provider, Role::Provider)] {
            let found = node.message_log().count("s-1").await.unwrap();
            assert_eq!(found, [(role, RecordKind::Request), (role, RecordKind::Response)]);
        }
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_go_there_and_back_with_their_headers_whether_signed_directly_or_by_a_hash_chain() {
    for batch in [false, true] {
        let nodes = two_nodes_with(701, |consumer, provider| {
            consumer.batch_signatures = batch;
            provider.batch_signatures = batch;
        })
        .await;
        let service = SoapService::start().await;
        service.offer(&nodes).await;
        // The second is over what is kept in memory, the third stands in a multipart of its own.
        let big = "0123456789abcdef".repeat(40_000);
        let soap = request("getFiles", "v1", "a-1", "", "");
        let message = format!(
            "--b-1\nContent-Type: text/xml; charset=utf-8\nContent-ID: <root>\n\n{soap}\n--b-1\r\nContent-ID: <one>\r\n\
             Content-Type: application/octet-stream\r\nX-Kept: yes\r\n\r\n\r\n-one-\r\n\r\n--b-1\nContent-Type: text/plain\n\n{big}\n--b-1\n\
             Content-Type: multipart/mixed; boundary=b-2\n\n--b-2\nContent-Type: text/plain\n\nthree\n--b-2--\n--b-1--\n"
        );
        let kind = "multipart/related; type=\"text/xml\"; start=\"<root>\"; boundary=\"b-1\"";
        let reply = nodes.send("POST", "/", &[("content-type", kind)], message).await;
        assert_eq!(reply.status, 200, "{}", text(&reply));
        let seen = &service.seen()[0];
        let content_type = seen.headers.get("content-type").unwrap().to_str().unwrap();
        assert!(content_type.contains("start=\"<root>\"") && !content_type.contains("b-1"), "{content_type}");
        for (kind, bytes) in [(content_type, &seen.body), (reply.header("content-type"), &reply.body)] {
            let (_, files) = bridge::message::soap::Related::read(Some(kind), bytes).unwrap();
            assert_eq!(files.len(), 3);
            assert_eq!(files[0].1.as_ref(), b"\r\n-one-\r\n");
            assert!(files[0].0.contains(&("X-Kept".to_owned(), "yes".to_owned())), "{:?}", files[0].0);
            assert!(files[1].1 == big.as_bytes());
            assert_eq!(files[2].1.as_ref(), b"three");
        }
        // A service may answer with a large file of its own.
        let much = ask(&nodes, "getMuch", "a-2").await;
        assert_eq!((much.status.as_u16(), much.body.len() > 700_000), (200, true));
        nodes.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_optimised_by_mtom_arrives_as_it_was_written() {
    let (nodes, service) = offered(709).await;
    let include = "<f><xop:Include xmlns:xop=\"http://www.w3.org/2004/08/xop/include\" href=\"cid:one\"/></f>";
    let soap = request("getFiles", "v1", "m-1", "", include);
    let root = "application/xop+xml; charset=UTF-8; type=\"text/xml\"";
    let message = format!(
        "--b-1\r\nContent-Type: {root}\r\nContent-ID: <root>\r\n\r\n{soap}\r\n--b-1\r\nContent-ID: <one>\r\n\
         Content-Type: application/octet-stream\r\n\r\nbinary\r\n--b-1--\r\n"
    );
    let kind =
        "multipart/related; type=\"application/xop+xml\"; start=\"<root>\"; start-info=\"text/xml\"; boundary=b-1";
    let reply = nodes.send("POST", "/", &[("content-type", kind)], message).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let seen = &service.seen()[0];
    let kind = seen.headers.get("content-type").unwrap().to_str().unwrap();
    assert!(kind.contains("type=\"application/xop+xml\"") && kind.contains("start-info=\"text/xml\""), "{kind}");
    let body = String::from_utf8_lossy(&seen.body).into_owned();
    assert!(body.contains("Content-Type: application/xop+xml") && body.contains(&soap), "{body}");
    let (_, files) = bridge::message::soap::Related::read(Some(kind), &seen.body).unwrap();
    assert_eq!(files.iter().map(|file| file.1.as_ref()).collect::<Vec<_>>(), [b"binary"]);
    assert!(files[0].0.contains(&("Content-ID".to_owned(), "<one>".to_owned())), "{:?}", files[0].0);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_does_wrong_is_told_with_x_roads_codes() {
    let (nodes, service) = offered(702).await;
    for (code, fault) in [
        ("getStatus", "server.serverproxy.service_failed.http_error"),
        ("getText", "server.serverproxy.service_failed.invalid_content_type"),
        ("getBroken", "server.serverproxy.service_failed.invalid_soap"),
        ("getOther", "server.clientproxy.service_failed.inconsistent_response"),
    ] {
        assert_fault(&ask(&nodes, code, code).await, fault);
    }
    // Its own fault comes through both nodes as it was written.
    let reply = ask(&nodes, "getFault", "fault-1").await;
    assert_eq!((reply.status.as_u16(), text(&reply).as_str()), (500, SERVICE_FAULT));
    let records = nodes.provider.message_log().find("fault-1").await.unwrap();
    assert_eq!(
        records[0].outcome, "s:Client.Unknown",
        "what changes something is logged before it is asked, its end when it is known"
    );
    // Latin-1 becomes UTF-8 where the node writes the hash.
    let latin = ask(&nodes, "getLatin1", "latin-1").await;
    assert_eq!(latin.status, 200, "{}", text(&latin));
    assert!(text(&latin).contains("<state>é</state>"));
    assert_eq!(service.seen().len(), 6);
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_none_never_leaves_the_node() {
    let (nodes, service) = offered(703).await;
    let good = request("getState", "v1", "r-1", "", "");
    for (headers, body, code) in [
        (&[("content-type", "text/plain")][..], good.clone(), "client.invalid_content_type"),
        (&[], good.clone(), "client.invalid_request"),
        (&[XML], String::new(), "client.invalid_soap"),
        (&[XML], good.replace("4.0", "3.1"), "client.invalid_protocol_version"),
        (
            &[XML],
            good.replace("<p:getState", "<p:other").replace("</p:getState", "</p:other"),
            "client.inconsistent_headers",
        ),
        (&[XML, ("SOAPAction", "no quotes")], good.clone(), "client.invalid_soap_action"),
        (&[XML], good.replace("credit", "debit"), "server.clientproxy.unknown_member"),
        (&[XML], good.replace("1002", "9999"), "server.clientproxy.unknown_member"),
        (&[XML], SERVICE_FAULT.to_owned(), "client.s:client.unknown"),
        (
            &[("content-type", "multipart/related; boundary=b")],
            "--b\nContent-Type: text/xml\n\n<a".to_owned(),
            "client.mime_parsing_failed",
        ),
        (&[("content-type", "multipart/related; boundary=b")], String::new(), "client.missing_soap"),
    ] {
        assert_fault(&nodes.send("POST", "/any/path", headers, body).await, code);
    }
    assert_fault(&nodes.send("PUT", "/", &[XML], good.clone()).await, "client.invalid_http_method");
    let large = "x".repeat(1_100_000);
    assert_fault(&nodes.send("POST", "/", &[XML], large).await, "client.body_too_large");
    assert!(service.seen().is_empty());
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_versions_and_kinds_hold_for_soap_too() {
    let (nodes, service) = offered(704).await;
    let send = |code: &'static str, version: &'static str, id: &'static str| {
        nodes.send("POST", "/", &[XML], request(code, version, id, "", ""))
    };
    assert_fault(&send("getState", "v2", "k-1").await, "server.serverproxy.unknown_service");
    assert_fault(&send("getState", "", "k-2").await, "server.serverproxy.unknown_service");
    assert_fault(&send("echo", "", "k-3").await, "server.serverproxy.service_type");
    let registry = nodes.provider.registry();
    let subject = Subject::Client("BB/COM/2001/credit".parse().unwrap());
    let take = Change::TakeRight { subject, service: format!("{PROVIDER}/getState").parse().unwrap(), endpoint: None };
    registry.apply(&Author::CommandLine, take).await.unwrap();
    assert_fault(&send("getState", "v1", "k-4").await, "server.serverproxy.access_denied");
    let records = nodes.provider.message_log().find("k-4").await.unwrap();
    assert_eq!(records[0].outcome, "server.serverproxy.access_denied", "the refusal is logged");
    let number = registry.current().services().find(|one| one.id.code() == "getState").unwrap().description_number;
    let off = Change::EnableDescription { number, enabled: false, notice: Some("until noon".to_owned()) };
    registry.apply(&Author::CommandLine, off).await.unwrap();
    let disabled = send("getFiles", "v1", "k-5").await;
    assert_fault(&disabled, "server.serverproxy.service_disabled");
    assert!(text(&disabled).contains("until noon"));
    assert!(service.seen().is_empty());
    assert_eq!(nodes.get(ECHO).await.status, 200, "REST goes on beside");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metaservices_are_signed_and_logged_exchanges_that_need_no_right() {
    let (nodes, service) = offered(705).await;
    let list = text(&nodes.send("POST", "/", &[XML], request("listMethods", "", "m-1", "", "")).await);
    assert_eq!(list.matches("<xroad:service id:objectType=\"SERVICE\">").count(), SOAP_SERVICES.len(), "{list}");
    assert!(
        list.contains("<id:serviceCode>getState</id:serviceCode><id:serviceVersion>v1</id:serviceVersion>"),
        "{list}"
    );
    assert!(
        list.contains("requestHash")
            && !list.contains(">echo<")
            && !list.contains(">listMethods</id:serviceCode></xroad")
    );
    let registry = nodes.provider.registry();
    let subject = Subject::Client("BB/COM/2001/credit".parse().unwrap());
    let take = Change::TakeRight { subject, service: format!("{PROVIDER}/getState").parse().unwrap(), endpoint: None };
    registry.apply(&Author::CommandLine, take).await.unwrap();
    let allowed = text(&nodes.send("POST", "/", &[XML], request("allowedMethods", "", "m-2", "", "")).await);
    assert!(allowed.contains(">getFiles<") && !allowed.contains(">getState<"), "{allowed}");
    for (id, node) in [("m-1", &nodes.consumer), ("m-1", &nodes.provider), ("m-2", &nodes.provider)] {
        assert_eq!(node.message_log().count(id).await.unwrap().len(), 2);
    }
    assert!(service.seen().is_empty(), "the node answers by itself");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wsdl_is_an_attachment_without_the_address_of_the_information_system() {
    let (nodes, _service) = offered(706).await;
    let wanted = "<x:serviceCode>getState</x:serviceCode><x:serviceVersion>v1</x:serviceVersion>";
    let reply = nodes.send("POST", "/", &[XML], request("getWsdl", "", "w-1", "", wanted)).await;
    assert_eq!(reply.status, 200, "{}", text(&reply));
    let (_, files) = bridge::message::soap::Related::read(Some(reply.header("content-type")), &reply.body).unwrap();
    let wsdl = String::from_utf8(files[0].1.to_vec()).unwrap();
    assert!(wsdl.contains("location=\"http://example.org/xroad-endpoint\"") && !wsdl.contains("10.1.2.3"), "{wsdl}");
    assert!(files[0].0.iter().any(|(name, value)| name == "Content-ID" && value.starts_with("<wsdl=")));
    for (inside, code) in [
        ("", "invalid_request"),
        ("<x:serviceCode>none</x:serviceCode>", "unknown_service"),
        ("<x:serviceCode>echo</x:serviceCode>", "service_type"),
    ] {
        let reply = nodes.send("POST", "/", &[XML], request("getWsdl", "", "w-2", "", inside)).await;
        assert_fault(&reply, &format!("server.serverproxy.{code}"));
    }
    // The old route brings the same text.
    let query = "xRoadInstance=BB&memberClass=GOV&memberCode=1002&subsystemCode=fisc&serviceCode=getState&version=v1";
    let old = nodes.send("GET", &format!("/wsdl?{query}"), &[], "").await;
    assert_eq!((old.status.as_u16(), old.header("content-type")), (200, "text/xml; charset=UTF-8"));
    assert_eq!(text(&old), wsdl);
    let none = nodes.send("GET", "/wsdl?xRoadInstance=BB", &[], "").await;
    assert_eq!(none.error_type(), "client.bad_request");
    nodes.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_of_a_soap_exchange_is_judged_like_any_other() {
    let (nodes, _service) = offered(707).await;
    assert_eq!(ask(&nodes, "getState", "e-1").await.status, 200);
    nodes.consumer.stamp_now().await.unwrap();
    for side in ["requestOnly", "responseOnly"] {
        let target = format!(
            "/asic?unique&{side}&queryId=e-1&xRoadInstance=BB&memberClass=COM&memberCode=2001&subsystemCode=credit"
        );
        let asic = nodes.send("GET", &target, &[], "").await;
        assert_eq!(asic.status, 200, "{}", text(&asic));
        assert!(asic.body.starts_with(b"PK"));
    }
    nodes.stop().await;
}
