//! What goes wrong at a port, said once and then counted.

use std::net::SocketAddr;
use std::time::Duration;

use super::packet::Rejected;

/// How often the same kind of trouble is said: the first time at once.
pub const TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// Something that was dropped or corrected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// A datagram that is no audio we understand.
    #[error("datagram dropped")]
    Rejected(#[source] Rejected),
    /// Another address sends while the source is active. Its packets are dropped.
    #[error("{0} sends to a port that has a source already")]
    OtherAddress(SocketAddr),
    /// Packets that do not belong to the source, or alone do not make one, were dropped.
    #[error("{0} sends packets that belong to no source")]
    Stray(SocketAddr),
    /// The source's clock jumped or stood still; media time goes by arrival.
    #[error("the source's timestamps do not agree with the time that passed")]
    Clock,
    /// No encoder could be had for a G.711 source.
    #[error("no Opus encoder")]
    Encoder(#[source] opus::Error),
}

impl Trouble {
    /// Which count it belongs to.
    fn kind(&self) -> usize {
        match self {
            Self::OtherAddress(_) => 0,
            Self::Stray(_) => 1,
            Self::Clock => 2,
            Self::Encoder(_) => 3,
            Self::Rejected(Rejected::Codec(_)) => 4,
            Self::Rejected(Rejected::Opus(_) | Rejected::G711(_)) => 5,
            Self::Rejected(Rejected::Version(_)) => 6,
            Self::Rejected(Rejected::Short { .. } | Rejected::Padding(_)) => 7,
        }
    }
}

const KINDS: usize = 8;

/// Counts each kind of trouble, and says when it is time to speak of it.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    kinds: [(u64, Option<Duration>); KINDS],
}

impl Troubles {
    /// Counts it. How often it came since it was last said, if it is to be said now.
    pub(super) fn count(&mut self, trouble: &Trouble, now: Duration) -> Option<u64> {
        let (times, said) = &mut self.kinds[trouble.kind()];
        *times += 1;
        if said.is_some_and(|said| now < said + TROUBLE_EVERY) {
            return None;
        }
        *said = Some(now);
        Some(std::mem::take(times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_at_once_and_then_once_a_minute() {
        let mut troubles = Troubles::default();
        let version = Trouble::Rejected(Rejected::Version(0));
        let codec = |number| Trouble::Rejected(Rejected::Codec(number));
        let at = Duration::from_secs;
        assert_eq!(troubles.count(&version, at(5)), Some(1));
        assert_eq!(troubles.count(&version, at(6)), None);
        assert_eq!(troubles.count(&codec(9), at(6)), Some(1));
        assert_eq!(troubles.count(&codec(18), at(65)), None);
        assert_eq!(troubles.count(&version, at(65)), Some(2));
        assert_eq!(troubles.count(&codec(9), at(66)), Some(2));
    }
}
