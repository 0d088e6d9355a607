use http::StatusCode;
use serde_json::Value;
use trust::note::Opening;
use trust::note::policy::Policy;

use crate::node::{bank_use, own_use, proven};
use crate::{AWA, World};

async fn world() -> World {
    let world = World::new().await;
    let uses = vec![
        proven(bank_use("2026-11-21T22:39:59.000001Z", "g-1"), &world.log),
        bank_use("2026-03-01T08:00:00Z", "g-1"),
        bank_use("2024-03-01T08:00:00Z", "g-1"),
    ];
    let mut refused = bank_use("2026-11-21T21:00:00Z", "g-1");
    refused["outcome"] = "refused".into();
    refused["receiverSystem"] = "BB/COM/3000/=evil".into();
    refused["receiverName"] = "=HYPERLINK(\"x\")".into();
    world.node.set(|registers| {
        registers.fisc.insert(AWA.into(), uses);
        registers.civil.insert(AWA.into(), vec![refused, own_use("2026-11-21T20:00:00Z")]);
    });
    world
}

#[tokio::test]
async fn the_registers_are_asked_as_the_estonian_contract_says_and_the_journal_knows() {
    let world = world().await;
    world.awa().await.get("/consultations").await;
    let asked = world.node.set(|registers| std::mem::take(&mut registers.asked));
    let mut names: Vec<&str> = asked.iter().map(|(what, _)| what.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, [format!("etat-civil {AWA}"), format!("fisc {AWA}")]);
    for (_, headers) in &asked {
        assert_eq!(headers["x-road-client"], "BB/GOV/1000/portal");
        assert_eq!(headers["x-road-userid"], AWA);
    }
    assert_eq!(world.journal(AWA).await, 1);
}

#[tokio::test]
async fn looks_of_all_registers_stand_in_one_list_newest_first_without_ones_own() {
    let world = world().await;
    let page = world.awa().await.get("/consultations").await.body;
    let at = |time: &str| page.find(time).unwrap_or_else(|| panic!("{time} is missing"));
    assert!(at("datetime=\"2026-11-21T22:39:59.000001Z\"") < at("datetime=\"2026-11-21T21:00:00Z\""));
    assert!(at("datetime=\"2026-11-21T21:00:00Z\"") < at("datetime=\"2024-03-01T08:00:00Z\""));
    assert!(page.contains("4 consultations") && page.contains("Refusé"));
    assert!(!page.contains("2026-11-21T20:00:00Z") && page.contains("1 consultation faite par vous-même"));
    let with_own = world.awa().await.get("/consultations?own=1").await.body;
    assert!(with_own.contains("5 consultations") && with_own.contains("2026-11-21T20:00:00Z"));
}

#[tokio::test]
async fn filters_narrow_the_list_and_survive_paging() {
    let world = world().await;
    let mut awa = world.awa().await;
    assert!(awa.get("/consultations?period=month").await.body.contains("2 consultations"));
    assert!(awa.get("/consultations?period=year").await.body.contains("3 consultations"));
    let bank = awa.get("/consultations?who=BB%2FCOM%2F2001%2Fcredit").await.body;
    assert!(bank.contains("3 consultations") && bank.contains("value=\"BB/COM/2001/credit\" selected"));
    assert!(bank.contains("/consultations.csv?who=BB%2FCOM%2F2001%2Fcredit"));
    let nobody = awa.get("/consultations?who=BB%2FCOM%2F9%2Fx").await.body;
    assert!(nobody.contains("Aucune consultation ne correspond"));
}

#[tokio::test]
async fn the_files_hold_the_same_looks() {
    let world = world().await;
    let mut awa = world.awa().await;
    let csv = awa.get("/consultations.csv?period=year").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.headers["content-disposition"], "attachment; filename=\"consultations.csv\"");
    assert_eq!(csv.body.lines().count(), 4);
    assert!(csv.body.contains("\"'=HYPERLINK(\"\"x\"\")\""), "{}", csv.body);
    let json: Value = serde_json::from_str(&awa.get("/consultations.json").await.body).unwrap();
    assert_eq!(json["usages"].as_array().unwrap().len(), 4);
    assert_eq!(json["usages"][0]["register"], "BB/GOV/1002/fisc");
    assert_eq!(json["usages"][0]["usage"]["proof"]["index"], 1);
}

#[tokio::test]
async fn one_look_is_downloaded_with_its_salt_and_its_proof() {
    let world = world().await;
    let mut awa = world.awa().await;
    let at = "2026-11-21T22:39:59.000001Z";
    let query = web::form_text(&[("register", "BB/GOV/1002/fisc"), ("message", &format!("m-{at}")), ("at", at)]);
    let record: Value = serde_json::from_str(&awa.get(&format!("/consultation.json?{query}")).await.body).unwrap();
    assert_eq!(record["proof"]["salt"], "05".repeat(32));
    let proof = awa.get(&format!("/consultation.tlog-proof?{query}")).await;
    let opened = Opening::verify(&proof.body, &Policy::log_only(world.log.verifier())).unwrap();
    assert!(opened.index == 1 && opened.record.contains("\"receiverCode\":\"2001\""), "{}", opened.record);
    assert!(awa.get(&format!("/consultation?{query}")).await.body.contains("Preuve vérifiée"));
}

#[tokio::test]
async fn a_look_that_is_not_there_is_not_found() {
    let world = world().await;
    let mut awa = world.awa().await;
    for query in [
        "",
        "register=BB/GOV/1002/fisc&message=x&at=2026-11-21T22:39:59.000001Z",
        "register=BB/GOV/9/x&message=x&at=2026-11-21T22:39:59Z",
        "register=BB/GOV/1002/fisc&message=x&at=never",
    ] {
        assert_eq!(awa.get(&format!("/consultation?{query}")).await.status, StatusCode::NOT_FOUND, "{query}");
    }
    world.node.set(|registers| registers.civil_is_down = true);
    let silent = awa.get("/consultation?register=BB/GOV/1001/etat-civil&message=x&at=2026-11-21T22:39:59Z").await;
    assert_eq!(silent.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(silent.body.contains("Un registre ne répond pas"));
}

#[tokio::test]
async fn more_looks_than_are_read_at_once_are_announced() {
    let world = World::new().await;
    let uses: Vec<Value> = (0..501).map(|n| bank_use(&format!("2026-11-20T10:00:00.{n:06}Z"), "g")).collect();
    world.node.set(|registers| registers.fisc.insert(AWA.into(), uses));
    let page = world.awa().await.get("/consultations").await.body;
    assert!(page.contains("seules les 500 consultations les plus récentes sont lues"), "{page}");
}
