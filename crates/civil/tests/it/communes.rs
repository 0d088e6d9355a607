use serde_json::Value;

use crate::Service;

async fn service() -> Service {
    Service::start(civil::communes()).await
}

#[tokio::test]
async fn anybody_lists_the_communes() {
    let service = service().await;
    for path in ["/communes", "/communes/"] {
        let reply = service.get(path, &[]).await;
        assert_eq!(reply.status, 200);
        let list: Vec<Value> = reply.json().unwrap();
        assert_eq!(list.len(), civil::Commune::all().len());
        assert_eq!(list[0], serde_json::json!({ "code": "CG-11-01", "name": "Madingou" }));
    }
}

#[tokio::test]
async fn a_commune_is_described_in_about_a_kilobyte() {
    let service = service().await;
    let reply = service.get("/communes/SN-TH-02", &[]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json");
    insta::assert_json_snapshot!("commune", reply.json::<Value>().unwrap());
}

#[tokio::test]
async fn an_unknown_commune_is_a_problem_that_says_where_the_codes_are() {
    let service = service().await;
    for path in ["/communes/XX-1", "/communes/sn-th-02", "/communes/%2e%2e", "/communes/%F0%9F%8C%B3"] {
        let reply = service.get(path, &[]).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(reply.headers["content-type"], "application/problem+json");
        let problem: Value = reply.json().unwrap();
        assert_eq!(problem["type"], "urn:baobab:problem:unknown_commune");
        assert!(problem["detail"].as_str().unwrap().contains("GET /communes"));
    }
}

#[tokio::test]
async fn the_description_names_every_member_of_the_answer() {
    let service = service().await;
    let described: Value = service.get("/openapi/communes.json", &[]).await.json().unwrap();
    assert_eq!(described["openapi"], "3.0.3");
    let members = described["components"]["schemas"]["Commune"]["properties"].as_object().unwrap();
    let answer: Value = service.get("/communes/SN-TH-02", &[]).await.json().unwrap();
    let answered: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(members.keys().collect::<Vec<_>>(), answered);
}
