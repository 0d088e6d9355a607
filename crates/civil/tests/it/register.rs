use std::sync::Arc;
use std::time::Instant;

use civil::population;
use store::Value;

use crate::NOW;

#[tokio::test]
async fn a_population_is_written_once_on_every_engine() {
    for store in store::testing::engines().await {
        let people: Arc<[_]> = population::generate(1, 650).people.into();
        assert_eq!(civil::seed(&store, Arc::clone(&people), NOW).await.unwrap(), 650);
        assert_eq!(civil::seed(&store, people, NOW).await.unwrap(), 0, "a second start leaves the register alone");
        assert_eq!(civil::count(&store).await.unwrap(), 650);
    }
}

#[tokio::test]
async fn nothing_personal_stands_in_clear() {
    let store = store::testing::sqlite().await;
    let people = population::generate(1, 300).people;
    let awa = people[0].clone();
    civil::seed(&store, people.into(), NOW).await.unwrap();
    let found = store
        .read("test.clear", move |tx| {
            let rows = tx.query(
                "SELECT national_index, record FROM civil_person WHERE id = $1",
                &store::params![awa.id.as_str()],
            )?;
            let (index, record): (Vec<u8>, Vec<u8>) = (rows[0].get("national_index")?, rows[0].get("record")?);
            let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            let number = awa.national_number.as_str();
            Ok::<bool, store::StoreError>(
                holds(&record, "Ndiaye") || holds(&record, number) || holds(&index, number) || index.len() != 32,
            )
        })
        .await
        .unwrap();
    assert!(!found);
    assert!(!format!("{:?}", Value::Text("Awa".into())).contains("Awa"));
}

#[tokio::test]
async fn ten_thousand_people_are_written_at_once() {
    let store = store::testing::sqlite().await;
    let begun = Instant::now();
    let people = population::generate(2026, 10_000).people;
    assert_eq!(civil::seed(&store, people.into(), NOW).await.unwrap(), 10_000);
    // Shown, never asserted: a busy machine is no fault of the register.
    tracing::info!(seconds = begun.elapsed().as_secs_f64(), "seeded");
}
