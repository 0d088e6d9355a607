use super::*;

fn loaded(text: &str) -> (tempfile::TempDir, Loaded<NodeSettings>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("anchor.xml"), "<anchor/>").unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = Loaded::read(&path).unwrap();
    (folder, loaded)
}

#[test]
fn what_a_node_offers_is_read() {
    let (_folder, loaded) = loaded(
        r#"
        server = "BB/GOV/1002/node-1"
        [[client]]
        id = "BB/GOV/1002/fisc"
        [[service]]
        id = "BB/GOV/1002/fisc/person"
        url = "http://127.0.0.1:9000"
        basis = "law"
        law = "Loi 2008-12, art. 33"
        purpose_code = "identity-check"
        purpose = "Vérifier une identité"
        subject_segment = 0
        [[right]]
        client = "BB/COM/2001/credit"
        service = "BB/GOV/1002/fisc/person"
        method = "GET"
        path = "/*/address"
        "#,
    );
    let config = loaded.config().unwrap();
    assert_eq!(config.clients.len(), 1);
    assert_eq!(config.services.first().unwrap().subject, SubjectRule::PathSegment(0));
    assert_eq!(config.rights.first().unwrap().endpoint.as_ref().unwrap().path, "/*/address");
}

#[test]
fn a_wrong_value_is_refused_by_the_name_of_its_key() {
    let cases = [
        ("", "server"),
        ("server = \"BB/GOV/1002/n\"\ncountry = \"Sénégal\"", "country"),
        ("server = \"BB/GOV/1002\"", "server"),
        ("server = \"BB/GOV/1002/n\"\n[limits]\nrequest_s = 0", "limits.request_s"),
        ("server = \"BB/GOV/1002/n\"\n[[service]]\nid = \"BB/GOV/1002/a/b\"\nurl = \"ftp://x\"", "url of the service"),
        (
            "server = \"BB/GOV/1002/n\"\n[[right]]\nclient = \"BB/GOV/1/a\"\nservice = \"BB/GOV/1002/a/b\"\nmethod = \"GET\"",
            "right.method",
        ),
        ("server = \"BB/GOV/1002/n\"\n[consent]\nissuer = \"x\"", "consent.jwks"),
    ];
    for (text, key) in cases {
        let (_folder, loaded) = loaded(text);
        let error = loaded.config().unwrap_err();
        assert!(error.to_string().contains(&format!("`{key}")), "{error}");
    }
}
