//! How often each peer may ask at a door that is open to strangers.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use civic::Timestamp;
use http::Extensions;

/// Peers that are counted one by one; those beyond share what one of them may ask.
const PEERS_MAX: usize = 4_096;

/// A bucket of permissions for each peer: full at first, one more after each pause.
#[derive(Debug)]
pub struct PeerLimit {
    burst: u32,
    pause: Duration,
    buckets: Mutex<BTreeMap<IpAddr, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl PeerLimit {
    /// So many requests at once, then one after each pause.
    pub const fn new(burst: u32, pause: Duration) -> Self {
        Self { burst, pause, buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes a permission of the peer, where it has one left.
    pub fn take(&self, peer: IpAddr, now: Timestamp) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut peer = neighbourhood(peer);
        if !buckets.contains_key(&peer) && buckets.len() >= PEERS_MAX {
            // A full bucket says no more than none.
            buckets.retain(|_, bucket| self.filled(*bucket, now) < f64::from(self.burst));
            if buckets.len() >= PEERS_MAX {
                peer = Ipv4Addr::UNSPECIFIED.into();
            }
        }
        let bucket = buckets.entry(peer).or_insert(Bucket { left: f64::from(self.burst), at: now });
        let filled = self.filled(*bucket, now);
        let granted = filled >= 1.0;
        *bucket = Bucket { left: if granted { filled - 1.0 } else { filled }, at: bucket.at.max(now) };
        granted
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> f64 {
        let more = now.since(bucket.at).as_secs_f64() / self.pause.as_secs_f64();
        (bucket.left + more).min(f64::from(self.burst))
    }
}

/// Who sent a request that [`crate::serve`] took; the unspecified address where it came by another way.
pub fn peer_of(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |ConnectInfo(address)| neighbourhood(address.ip()))
}

/// Whoever has one IPv6 address has the 2⁶⁴ beside it too: they are one peer.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_000 + seconds)
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_granted_and_then_one_after_each_pause() {
        let limit = PeerLimit::new(3, Duration::from_secs(2));
        let take = |seconds| limit.take(peer("192.0.2.1"), at(seconds));
        assert_eq!((0..4).filter(|_| take(0)).count(), 3);
        assert!(!take(1));
        assert!(take(2) && !take(2));
        assert!(!take(0), "a clock that goes back grants nothing");
        assert!(!take(2), "nor does the way back to now");
        assert_eq!((0..9).filter(|_| take(1_000)).count(), 3);
    }

    #[test]
    fn nobody_uses_up_what_others_may_ask() {
        let limit = PeerLimit::new(1, Duration::from_secs(2));
        assert!(limit.take(peer("192.0.2.1"), at(0)) && !limit.take(peer("192.0.2.1"), at(0)));
        assert!(!limit.take(peer("::ffff:192.0.2.1"), at(0)), "the same peer in other words");
        assert!(limit.take(peer("192.0.2.2"), at(0)));
        assert!(limit.take(peer("2001:db8::1"), at(0)));
        assert!(!limit.take(peer("2001:db8::2"), at(0)), "it has the whole network");
        assert!(limit.take(peer("2001:db8:0:1::1"), at(0)));
    }

    #[test]
    fn more_peers_than_are_counted_share_one_bucket_until_others_have_rested() {
        let limit = PeerLimit::new(1, Duration::from_secs(2));
        let stranger = |number: usize| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap()));
        assert_eq!((0..PEERS_MAX).filter(|number| limit.take(stranger(*number), at(0))).count(), PEERS_MAX);
        assert!(limit.take(stranger(PEERS_MAX), at(0)), "the first of those who share");
        assert!(!limit.take(stranger(PEERS_MAX + 1), at(0)));
        assert!(limit.buckets.lock().unwrap().len() <= PEERS_MAX + 1);
        assert!(limit.take(stranger(PEERS_MAX + 1), at(2)));
        assert!(limit.buckets.lock().unwrap().len() <= 2, "who has rested is forgotten");
    }
}
