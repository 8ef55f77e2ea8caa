//! Who may be connected to a listening address at once, so that strangers who only hold connections
//! open keep nobody out.
//!
//! - There are so many places. When all are taken, those connections make way that have been silent
//!   the longest (at least [`Limits::silent`]); who sends or takes something is never asked to. A connection
//!   whose work is known to be wanted ([`Place::keep`]: a room's source) is never asked either.
//! - One address has so many of them. An IPv6 customer has a whole /64, which counts as one address.
//!   Loopback and the proxies that the operator trusts stand for many people and are not counted.
//!
//! Whoever holds a [`Place`] tells it of every byte ([`Place::stir`]), waits for
//! [`Place::asked_to_leave`] beside its work, and drops it at the end.
//!
//! Deliberately unknown here: sockets, protocols, and how a refusal is worded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Looking for the most silent ones costs a look at all: this part of the places is freed at once.
const FREED_AT_ONCE: usize = 64;

/// How many may be inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all, at least one.
    pub places: usize,
    /// Connections of one address; `None`: as many as there are places.
    pub per_address: Option<usize>,
    /// Addresses that are not counted, beside loopback.
    pub trusted: Vec<IpAddr>,
    /// A connection that has been silent for less is not asked to make way.
    pub silent: Duration,
}

impl Limits {
    /// As many places as given, whoever takes them; the silent make way after 2 s.
    #[must_use]
    pub fn of(places: usize) -> Self {
        Self { places, per_address: None, trusted: Vec::new(), silent: Duration::from_secs(2) }
    }
}

/// Why a connection may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Every place is taken by somebody who is busy.
    #[error("every place is taken")]
    House,
    /// Its address has as many as it may have.
    #[error("this address has too many connections")]
    Address,
}

/// The doors of one listening address. Clones are the same doors.
#[derive(Debug, Clone)]
pub struct Doors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    opened: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    guests: HashMap<u64, Arc<Guest>>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Guest {
    /// What it is counted under; `None`: it is not.
    address: Option<IpAddr>,
    /// Milliseconds from the opening of the doors to its last byte.
    stirred: AtomicU64,
    kept: AtomicBool,
    leave: Notify,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    doors: Doors,
    id: u64,
    guest: Arc<Guest>,
}

impl Doors {
    /// Doors through which nobody has come yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Inner { limits, opened: Instant::now(), inside: Mutex::default() }))
    }

    /// Lets a connection from `address` in. Where every place is taken, some that have long been
    /// silent are asked to leave for it.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(&self, address: IpAddr, now: Instant) -> Result<Place, Full> {
        let limits = &self.0.limits;
        let address = Some(address.to_canonical())
            .filter(|address| !address.is_loopback() && !limits.trusted.contains(address))
            .map(counted);
        let now_ms = self.millis(now);
        let mut inside = self.inside();
        let of_one = address.and_then(|address| inside.by_address.get(&address));
        if limits.per_address.is_some_and(|most| of_one.is_some_and(|&count| count >= most)) {
            return Err(Full::Address);
        }
        if inside.guests.len() >= limits.places {
            let patience = u64::try_from(limits.silent.as_millis()).unwrap_or(u64::MAX);
            inside.make_way(now_ms, patience, (limits.places / FREED_AT_ONCE).max(1));
        }
        if inside.guests.len() >= limits.places {
            return Err(Full::House);
        }
        let guest = Arc::new(Guest {
            address,
            stirred: AtomicU64::new(now_ms),
            kept: AtomicBool::new(false),
            leave: Notify::new(),
        });
        let id = inside.next;
        inside.next += 1;
        inside.guests.insert(id, Arc::clone(&guest));
        if let Some(address) = address {
            *inside.by_address.entry(address).or_default() += 1;
        }
        Ok(Place { doors: self.clone(), id, guest })
    }

    /// How many places are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.inside().guests.len()
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0.opened);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Nothing here panics half way through a change.
        self.0.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Asks up to `count` of those who have been silent the longest to leave. Their places are free
    /// from now on.
    fn make_way(&mut self, now_ms: u64, patience: u64, count: usize) {
        let silent = |guest: &Guest| {
            let since = now_ms.saturating_sub(guest.stirred.load(Ordering::Relaxed));
            (since >= patience && !guest.kept.load(Ordering::Relaxed)).then_some(since)
        };
        let guests = self.guests.iter();
        let mut silent: Vec<_> = guests.filter_map(|(id, g)| Some((silent(g)?, *id))).collect();
        silent.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in silent.into_iter().take(count) {
            if let Some(guest) = self.leave(id) {
                guest.leave.notify_one();
            }
        }
    }

    fn leave(&mut self, id: u64) -> Option<Arc<Guest>> {
        let guest = self.guests.remove(&id)?;
        if let Some(address) = guest.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(guest)
    }
}

impl Place {
    /// Something was sent or taken.
    pub fn stir(&self, now: Instant) {
        self.guest.stirred.store(self.doors.millis(now), Ordering::Relaxed);
    }

    /// It may stay for as long as it likes.
    pub fn keep(&self) {
        self.guest.kept.store(true, Ordering::Relaxed);
    }

    /// Waits until its place is wanted for somebody else. The connection is to be closed then.
    pub async fn asked_to_leave(&self) {
        self.guest.leave.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever was asked to leave has been counted out already.
        let _ = self.doors.inside().leave(self.id);
    }
}

/// What an address is counted under.
fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: [u8; 4] = [127, 0, 0, 1];

    fn doors(places: usize, per_address: Option<usize>) -> (Doors, Instant) {
        let trusted = vec![IpAddr::from([192, 0, 2, 9])];
        let doors = Doors::new(Limits { per_address, trusted, ..Limits::of(places) });
        let now = doors.0.opened;
        (doors, now)
    }

    fn is_asked(place: &Place) -> bool {
        use std::future::Future as _;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(place.asked_to_leave()).poll(&mut context).is_ready()
    }

    #[test]
    fn who_was_silent_the_longest_makes_way_and_who_is_busy_does_not() {
        let (doors, start) = doors(3, None);
        let at = |ms| start + Duration::from_millis(ms);
        let [busy, silent, kept] = [0, 1, 2].map(|ms| doors.enter(HERE.into(), at(ms)).unwrap());
        kept.keep();
        assert_eq!(doors.enter(HERE.into(), at(1_500)).unwrap_err(), Full::House);
        busy.stir(at(2_000));
        let new = doors.enter(HERE.into(), at(3_000)).unwrap();
        assert!(is_asked(&silent) && !is_asked(&busy) && !is_asked(&kept) && !is_asked(&new));
        assert_eq!(doors.taken(), 3);
        drop(silent);
        assert_eq!(doors.taken(), 3, "it was counted out when it was asked");
        drop((busy, kept, new));
        assert_eq!(doors.taken(), 0);
    }

    #[test]
    fn one_address_cannot_take_every_place_but_loopback_and_proxies_stand_for_many() {
        let (doors, now) = doors(100, Some(2));
        let enter = |address: &str| doors.enter(address.parse().unwrap(), now);
        let mut places = Vec::new();
        for address in ["203.0.113.5", "::ffff:203.0.113.5", "2001:db8::1", "2001:db8::2"] {
            places.push(enter(address).unwrap());
        }
        for address in ["203.0.113.5", "2001:db8::ffff:3"] {
            assert_eq!(enter(address).unwrap_err(), Full::Address, "{address}");
        }
        for address in ["203.0.113.6", "2001:db8:0:1::1"] {
            places.push(enter(address).unwrap());
        }
        for address in ["127.0.0.1", "::1", "192.0.2.9"].repeat(5) {
            places.push(enter(address).unwrap());
        }
        places.remove(0);
        assert!(enter("203.0.113.5").is_ok());
        drop(places);
        assert!(doors.inside().by_address.is_empty());
    }

    #[test]
    fn many_make_way_at_once_so_that_looking_is_seldom() {
        let (doors, start) = doors(640, None);
        let first: Vec<_> = (0..640).map(|_| doors.enter(HERE.into(), start).unwrap()).collect();
        let later = start + doors.0.limits.silent;
        let _new = doors.enter(HERE.into(), later).unwrap();
        assert_eq!(first.iter().filter(|place| is_asked(place)).count(), 10);
        assert_eq!(doors.taken(), 631);
    }
}
