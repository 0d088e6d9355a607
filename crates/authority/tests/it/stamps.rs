use std::collections::BTreeSet;

use civic::Clock;
use http::StatusCode;
use trust::tsp::{TimestampRequest, TspError};

use crate::worlds;

#[tokio::test]
async fn data_is_stamped_with_the_moment_and_a_number_of_its_own() {
    for world in worlds().await {
        let listed = [world.authority.tsa_certificate()];
        let mut serials = BTreeSet::new();
        for nonce in 1..=20_u8 {
            let request = TimestampRequest::for_data(b"ts-hashchainresult.xml", &[nonce]).unwrap();
            let (status, response) = world.post("/tsa", request.to_der().unwrap()).await;
            assert_eq!(status, StatusCode::OK);
            let token = request.token(&response).unwrap();
            assert_eq!(token.verify(b"ts-hashchainresult.xml", &listed), Ok(world.clock.now()));
            assert_eq!(token.certificates(), listed);
            assert!(serials.insert(token.serial().to_vec()));
        }
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_the_words_of_the_protocol() {
    for world in worlds().await {
        let request = TimestampRequest::for_data(b"data", &[1]).unwrap();
        let (status, response) = world.post("/tsa", b"rubbish".to_vec()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(matches!(request.token(&response), Err(TspError::Rejected { status: 2, .. })));
    }
}
