//! Reading a body under a time limit that grows with what came: a large body over a slow line may take its time, a peer that sends a byte
//! now and then may not.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use web::with_causes;

/// How long whoever sends a body may keep us waiting, all waits together: a grace, and the time that the bytes take at the lowest rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    grace: Duration,
    bytes_per_s_min: u64,
    waited: Duration,
    bytes: u64,
}

/// Why a body did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaceError {
    /// It came too slowly.
    #[error("it came too slowly: {bytes} bytes in {seconds} s of waiting")]
    Slow {
        /// What came.
        bytes: u64,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It broke off.
    #[error("it broke off ({0})")]
    Broken(String),
}

/// The beginning of a body.
#[derive(Debug)]
pub(crate) enum Gathered {
    /// That was all.
    Whole(Bytes),
    /// More comes; this much is there.
    Partly(Bytes),
}

impl Pace {
    pub(crate) const fn new(grace: Duration, bytes_per_s_min: u64) -> Self {
        Self { grace, bytes_per_s_min, waited: Duration::ZERO, bytes: 0 }
    }

    /// The time that so many bytes may take.
    pub(crate) fn allowance(grace: Duration, bytes_per_s_min: u64, bytes: u64) -> Duration {
        grace.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / bytes_per_s_min.max(1)))
    }

    /// The next slice of a body; `None` at its end.
    pub(crate) async fn next<B>(&mut self, body: &mut B) -> Result<Option<Bytes>, PaceError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error,
    {
        loop {
            let since = Instant::now();
            let left = Self::allowance(self.grace, self.bytes_per_s_min, self.bytes).saturating_sub(self.waited);
            let frame = tokio::time::timeout(left, body.frame()).await;
            self.waited += since.elapsed();
            match frame {
                Err(_) => return Err(PaceError::Slow { bytes: self.bytes, seconds: self.waited.as_secs() }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(PaceError::Broken(with_causes(&error))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.bytes += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body, or its beginning where it has more than this many bytes.
    pub(crate) async fn gather<B>(&mut self, body: &mut B, bytes_max: usize) -> Result<Gathered, PaceError>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::error::Error,
    {
        if body.size_hint().lower() > bytes_max as u64 {
            return Ok(Gathered::Partly(Bytes::new()));
        }
        let Some(first) = self.next(body).await? else { return Ok(Gathered::Whole(Bytes::new())) };
        if first.len() > bytes_max {
            return Ok(Gathered::Partly(first));
        }
        let Some(second) = self.next(body).await? else { return Ok(Gathered::Whole(first)) };
        let mut all = BytesMut::with_capacity(2 * (first.len() + second.len()));
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while all.len() <= bytes_max {
            match self.next(body).await? {
                Some(data) => all.extend_from_slice(&data),
                None => return Ok(Gathered::Whole(all.freeze())),
            }
        }
        Ok(Gathered::Partly(all.freeze()))
    }
}
