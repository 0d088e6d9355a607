//! Every route as a stranger, and as another client.

use http::StatusCode;
use notary::{ROUTES, Reach};
use store::testing::engines;

use crate::{Office, digest};

#[tokio::test]
async fn strangers_and_other_clients_get_nothing_on_any_route() {
    for store in engines().await {
        let office = Office::open(&store).await;
        let body = format!("{{\"sha256\":\"{}\"}}", digest("secret"));
        let (_, made) = office.json("POST", "/notary", &office.awa, &body).await;
        let id = made["id"].as_str().unwrap();
        for (method, path, reach) in ROUTES {
            let path = path.replace("{id}", id);
            for key in ["", "notary-00000000-1234", "eyJhbGciOiJub25lIn0.e30."] {
                let (status, headers, said) = office.ask(method, &path, key, "{}").await;
                if *reach == Reach::Public {
                    assert_eq!(status, StatusCode::OK, "{method} {path}");
                } else {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {key}");
                    assert_eq!(headers["content-type"], "application/problem+json", "{method} {path}");
                }
                assert!(!said.contains(id) && !said.contains(&digest("secret")), "{method} {path} tells: {said}");
            }
            if path.contains(id) {
                let (status, _, said) = office.ask(method, &path, &office.bank, "").await;
                assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path} as another client");
                assert!(!said.contains(&digest("secret")));
            }
        }
        assert_eq!(office.json("GET", "/notary", &office.bank, "").await.1["total"], 0);
        assert_eq!(office.json("GET", &format!("/notary/{id}"), &office.awa, "").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_page_may_load_its_own_files_and_send_nothing() {
    let office = Office::open(&store::testing::sqlite().await).await;
    let (status, headers, page) = office.ask("GET", "/?lang=en", "", "").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    for rule in ["default-src 'none'", "connect-src 'none'", "form-action 'none'", "script-src 'self'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert_eq!((status, headers.get_all("content-security-policy").iter().count()), (StatusCode::OK, 1));
    assert!(page.contains("<noscript>") && page.contains("baobab verify"), "{page}");
    assert!(page.contains(&office.log.ledger.origin()), "the policy is shown: {page}");
    assert_eq!(web::testing::faults(&page), Vec::<String>::new());
}
