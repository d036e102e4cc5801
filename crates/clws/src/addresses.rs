//! How many connections there are from one address.
//!
//! An IPv6 address counts by its /64, which is what one customer gets. Whoever is on this machine
//! is not counted, and a trusted proxy stands for its clients: they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The addresses that have connections. It is empty where there is no limit.
#[derive(Debug)]
pub(crate) struct Addresses {
    max: Option<usize>,
    counts: Mutex<HashMap<Key, usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6(u64),
}

impl Key {
    fn of(host: IpAddr) -> Self {
        match host.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// An address that has as many connections as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Addresses {
    pub(crate) fn new(max: Option<usize>) -> Arc<Self> {
        Arc::new(Self { max, counts: Mutex::default() })
    }

    /// Counts one connection more from `host`, until what this returns is dropped; `None` where
    /// nothing is counted.
    pub(crate) fn enter(
        self: &Arc<Self>,
        host: Option<IpAddr>,
    ) -> Result<Option<Box<Counted>>, Crowded> {
        let (Some(max), Some(host)) = (self.max, host) else { return Ok(None) };
        if host.to_canonical().is_loopback() {
            return Ok(None);
        }
        let key = Key::of(host);
        let mut counts = self.counts();
        let count = counts.entry(key).or_default();
        if *count >= max {
            return Err(Crowded);
        }
        *count += 1;
        Ok(Some(Box::new(Counted { addresses: Arc::clone(self), key })))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    addresses: Arc<Addresses>,
    key: Key,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.addresses.counts().entry(self.key) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_may_have_so_many_and_gets_its_places_back() {
        let addresses = Addresses::new(Some(3));
        for _ in 0..2 {
            let places: Vec<_> = (0..3).map(|_| addresses.enter(Some(host("192.0.2.1")))).collect();
            assert!(places.iter().all(|place| matches!(place, Ok(Some(_)))));
            assert!(addresses.enter(Some(host("192.0.2.1"))).is_err());
            assert!(addresses.enter(Some(host("::ffff:192.0.2.1"))).is_err());
            assert!(addresses.enter(Some(host("192.0.2.2"))).is_ok());
            drop(places);
            assert!(addresses.counts().is_empty(), "nothing is kept of who left");
        }
    }

    #[test]
    fn ipv6_counts_by_its_network() {
        let addresses = Addresses::new(Some(2));
        let _first = addresses.enter(Some(host("2001:db8:0:1::1"))).unwrap();
        let _second = addresses.enter(Some(host("2001:db8:0:1:ffff::2"))).unwrap();
        assert_eq!(addresses.enter(Some(host("2001:db8:0:1::3"))).unwrap_err(), Crowded);
        assert!(addresses.enter(Some(host("2001:db8:0:2::1"))).is_ok());
    }

    #[test]
    fn this_machine_is_not_counted_and_nobody_is_without_a_limit() {
        let addresses = Addresses::new(Some(1));
        let local = ["127.0.0.1", "::1", "::ffff:127.0.0.1"].map(|text| Some(host(text)));
        for local in local.into_iter().chain([None]) {
            assert!((0..3).all(|_| addresses.enter(local).unwrap().is_none()));
        }
        let unbounded = Addresses::new(None);
        assert!((0..100).all(|_| unbounded.enter(Some(host("192.0.2.1"))).unwrap().is_none()));
    }
}
