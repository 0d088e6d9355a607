use std::sync::Arc;

use fisc::{Account, Taxpayer, accounts};

use crate::NOW;

fn opened() -> Arc<[Account]> {
    let taxpayers: Vec<Taxpayer> = (0..900_u32)
        .map(|order| Taxpayer {
            national_number: format!("1B011985{order:05}").parse().unwrap(),
            birth_year: 1985,
            earner: order < 10,
        })
        .collect();
    accounts(9, &taxpayers).into()
}

#[tokio::test]
async fn accounts_and_statements_are_written_once_on_every_engine() {
    for store in store::testing::engines().await {
        let accounts = opened();
        let count = u64::try_from(accounts.len()).unwrap();
        assert_eq!(fisc::seed(&store, Arc::clone(&accounts), NOW).await.unwrap(), count);
        assert_eq!(fisc::seed(&store, Arc::clone(&accounts), NOW).await.unwrap(), 0, "a second start changes nothing");
        assert_eq!(fisc::count(&store).await.unwrap(), count);
        let expected: usize = accounts.iter().map(|account| account.statements.len()).sum();
        let held: usize = store
            .read("test.statements", |tx| {
                tx.query_one("SELECT COUNT(*) AS held FROM fisc_statement", &[])?.map_or(Ok(0), |row| row.get("held"))
            })
            .await
            .map_err(|error: store::StoreError| error)
            .unwrap();
        assert_eq!(held, expected);
    }
}
