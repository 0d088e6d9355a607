//! A sealed value opens in its own place only.

use store::StoreError;
use store::testing::sqlite;

#[tokio::test]
async fn a_sealed_value_opens_in_its_place() {
    let store = sqlite().await;
    let sealed = store.sealer().seal("identity_account", "national_number", "id-1", b"2K05201200108").unwrap();
    assert_ne!(sealed, store.sealer().seal("identity_account", "national_number", "id-1", b"2K05201200108").unwrap());
    assert!(!sealed.windows(6).any(|window| window == b"2K0520"));
    let opened = store.sealer().open("identity_account", "national_number", "id-1", &sealed);
    assert_eq!(opened, Ok(b"2K05201200108".to_vec()));
}

#[tokio::test]
async fn a_value_moved_to_another_row_column_or_table_does_not_open() {
    let store = sqlite().await;
    let sealed = store.sealer().seal("identity_account", "phone", "id-1", b"+221 77 000 00 00").unwrap();
    for (table, column, row) in [
        ("identity_account", "phone", "id-2"),
        ("identity_account", "national_number", "id-1"),
        ("fisc_account", "phone", "id-1"),
        ("identity_accountphone", "", "id-1"),
    ] {
        let opened = store.sealer().open(table, column, row, &sealed);
        assert!(matches!(opened, Err(StoreError::Sealed { .. })), "{table} {column} {row}");
    }
}

#[tokio::test]
async fn a_blind_index_finds_equal_values_of_one_column_only() {
    let store = sqlite().await;
    let index = |column, value: &[u8]| store.sealer().blind_index("identity_account", column, value);
    assert_eq!(index("phone", b"1"), index("phone", b"1"));
    assert_ne!(index("phone", b"1"), index("phone", b"2"));
    assert_ne!(index("phone", b"1"), index("national_number", b"1"));
    assert_eq!(index("phone", b"1").len(), 32);
}
