//! One connection: its head, its answer, its audio.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use models::doors::Place;
use models::recording::Origin;
use models::room::RecordingPolicy;
use models::{Room, WallMicros, db, refusal};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{self, Answer};
use super::body::{self, Body, Step};
use super::head::{Head, Method, Parsed, Version};
use super::pace::{Pace, Silent};
use super::run::Shared;
use super::thread::{self, Outcome};
use crate::ogg::{self, Demuxer};
use crate::supervise::Closed;
use crate::tap::Source;
use crate::{Feed, decode, transcode};

/// Bytes read of a head at a time: most heads are shorter.
const HEAD_PORTION: usize = 1024;
/// Bytes read from a socket at a time: a second of 128 kb/s.
const PORTION: usize = 16 * 1024;
/// What may be sent. What really comes is told by its first bytes.
const CONTENT_TYPES: [&str; 14] = [
    "audio/ogg",
    "application/ogg",
    "audio/opus",
    "audio/mpeg",
    "audio/mp3",
    "audio/aac",
    "audio/aacp",
    "audio/flac",
    "audio/x-flac",
    "audio/wav",
    "audio/x-wav",
    "audio/wave",
    "audio/webm",
    "audio/x-matroska",
];

/// Why a source's connection ended, other than by its own wish.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the connection broke")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Body(#[from] body::Bad),
    #[error("MPEG-TS is not supported")]
    TransportStream,
    #[error(transparent)]
    Ogg(#[from] ogg::Error),
    #[error(transparent)]
    Decode(#[from] transcode::Error),
    #[error("the decoder stopped")]
    Decoder,
    #[error(transparent)]
    Silent(#[from] Silent),
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As its framing says.
    Whole,
    /// With the connection.
    Gone,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, place: Place, shared: &Shared) {
    let heard = async {
        // Until its first byte nothing is set up for it.
        if timeout(shared.limits.head, stream.readable()).await.is_ok() {
            Box::pin(hear(stream, peer, &place, shared)).await;
        }
    };
    tokio::select! {
        () = heard => {}
        () = place.asked_to_leave() => {}
    }
}

async fn hear(mut stream: TcpStream, peer: SocketAddr, place: &Place, shared: &Shared) {
    // Answers are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let mut input = BytesMut::new();
    let read = timeout(shared.limits.head, read_head(&mut stream, &mut input, place)).await;
    let (head, admitted) = match read {
        Ok(Ok(Some(Ok(head)))) => {
            let admitted = admit(&head, peer, shared).await;
            (Some(head), admitted)
        }
        Ok(Ok(Some(Err(answer)))) => (None, Err(answer)),
        // Nobody is there any more.
        Ok(Ok(None) | Err(_)) => return,
        Err(_) => (None, Err(Answer::new(408, "the head took too long"))),
    };
    let version = head.as_ref().map_or(Version::Http11, |head| head.version);
    match (head, admitted) {
        (Some(head), Ok(admitted)) => {
            place.keep();
            let welcome = answer::welcome(&mut stream, version, head.expects_continue);
            if matches!(timeout(shared.limits.head, welcome).await, Ok(Ok(()))) {
                record(Payload { stream, input, body: Body::new(head.framing) }, admitted).await;
            }
        }
        (head, admitted) => {
            let Some(answer) = admitted.err() else { return };
            let (status, reason) = (answer.status, answer.text.as_str());
            match &head {
                Some(Head { mount, .. }) => {
                    tracing::warn!(mount, %peer, status, reason, "icecast source refused");
                }
                // No source at all: strangers must not fill the log.
                None => tracing::debug!(%peer, status, reason, "icecast head refused"),
            }
            let bytes = answer.bytes(version);
            let refuse = refusal::tell(&mut stream, &bytes);
            // It may be gone already.
            let _ = timeout(shared.limits.head, refuse).await;
        }
    }
}

/// Reads a head; `None`: the peer left before it had sent anything.
async fn read_head(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    place: &Place,
) -> io::Result<Option<Result<Head, Answer>>> {
    loop {
        match Head::parse(input) {
            Parsed::Head { head, length } => {
                let _ = input.split_to(length);
                return Ok(Some(Ok(head)));
            }
            Parsed::Bad { status, reason } => return Ok(Some(Err(Answer::new(status, reason)))),
            // Memory grows with what was sent, not with what might be.
            Parsed::Incomplete => input.reserve(HEAD_PORTION),
        }
        if stream.read_buf(input).await? == 0 {
            let half = Answer::new(400, "the head ends in the middle");
            return Ok((!input.is_empty()).then_some(Err(half)));
        }
        place.stir(std::time::Instant::now());
    }
}

/// A source that was let in.
struct Admitted {
    room: Room,
    feed: Feed,
    source: Source,
    pace: Pace,
}

/// Looks at who asks for what.
async fn admit(head: &Head, peer: SocketAddr, shared: &Shared) -> Result<Admitted, Answer> {
    if head.method == Method::Other {
        return Err(Answer::new(405, "sources send with PUT or SOURCE"));
    }
    let Some(login) = &head.login else {
        return Err(Answer::new(401, "a source must give its password (user: source)"));
    };
    let nowhere = || Answer::new(404, "there is no such mount");
    let room = shared.db.room_by_slug(&head.mount).await.map_err(|error| match error {
        db::Error::NotFound { .. } => nowhere(),
        error => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a room could not be looked up"
            );
            Answer::new(503, "the database does not answer")
        }
    })?;
    let key = room.source_key.as_ref().ok_or_else(nowhere)?;
    if !key.matches(&login.password) {
        return Err(Answer::new(401, "the password is wrong"));
    }
    if room.policy == RecordingPolicy::Never {
        return Err(Answer::new(403, "this room must not be recorded"));
    }
    match &head.content_type {
        Some(given) if CONTENT_TYPES.contains(&given.as_str()) => {}
        Some(given) => {
            return Err(Answer::new(403, format!("Content-type not supported: {given}")));
        }
        None => return Err(Answer::new(403, "a Content-Type is needed")),
    }
    let source = Source {
        origin: Origin::Icecast,
        channels: head.channels.unwrap_or(2),
        description: description(head, peer),
    };
    let feed = shared.supervisor.attach(&room, source.clone(), WallMicros::now()).await;
    let feed = feed.map_err(|refused| Answer::from(&refused))?;
    let idle = Duration::from_millis(room.grace_ms).max(shared.limits.idle);
    let pace = Pace::new(idle, shared.limits.slow, Instant::now());
    Ok(Admitted { room, feed, source, pace })
}

/// Name, program and address of a source.
fn description(head: &Head, peer: SocketAddr) -> String {
    let said = [head.name.as_deref(), head.agent.as_deref()];
    let peer = peer.to_string();
    said.into_iter().flatten().chain([peer.as_str()]).collect::<Vec<_>>().join(", ")
}

/// Records a source to its end, and says how it ended.
async fn record(payload: Payload, admitted: Admitted) {
    let Admitted { room, feed, source, pace } = admitted;
    let mount = room.slug;
    let mut recording = Recording { payload, feed, source, pace };
    match recording.run().await {
        Ok(End::Whole) => recording.feed.finish().await,
        Ok(End::Gone) => tracing::info!(mount, "icecast source disconnected"),
        Err(Error::Closed(_)) => tracing::info!(mount, "icecast source put out"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(mount, error, "icecast source dropped");
        }
    }
}

/// The body on its way in.
struct Payload {
    stream: TcpStream,
    input: BytesMut,
    body: Body,
}

impl Payload {
    /// The next piece, or how it ended.
    async fn next(&mut self) -> Result<Result<Bytes, End>, Error> {
        loop {
            match self.body.next(&mut self.input)? {
                Step::Data(bytes) => return Ok(Ok(bytes)),
                Step::End => return Ok(Err(End::Whole)),
                Step::More => self.input.reserve(PORTION),
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Ok(Err(End::Gone));
            }
        }
    }
}

/// A source being recorded.
struct Recording {
    payload: Payload,
    feed: Feed,
    source: Source,
    pace: Pace,
}

impl Recording {
    async fn run(&mut self) -> Result<End, Error> {
        let (prefix, ended) = self.sniff().await?;
        if decode::is_transport_stream(&prefix) {
            return Err(Error::TransportStream);
        }
        if ogg::is_opus(&prefix) {
            self.keep(prefix, ended).await
        } else {
            self.transcode(prefix, ended).await
        }
    }

    /// Waits for enough of the body to tell what it is.
    async fn sniff(&mut self) -> Result<(Bytes, Option<End>), Error> {
        let mut prefix = BytesMut::new();
        while prefix.len() < ogg::SNIFF_BYTES {
            match self.next().await? {
                Ok(bytes) => prefix.extend_from_slice(&bytes),
                Err(end) => return Ok((prefix.freeze(), Some(end))),
            }
        }
        Ok((prefix.freeze(), None))
    }

    async fn next(&mut self) -> Result<Result<Bytes, End>, Error> {
        let next = timeout_at(self.pace.deadline(), self.payload.next()).await;
        next.map_err(|_| self.pace.late())?
    }

    /// Ogg Opus: packets as they came. Bytes that give no audio do not put the deadline off.
    async fn keep(&mut self, prefix: Bytes, mut ended: Option<End>) -> Result<End, Error> {
        let mut demuxer = Demuxer::default();
        let mut introduced = false;
        let mut bytes = prefix;
        loop {
            let events = demuxer.push(&bytes)?;
            if let Some(head) = demuxer.head().filter(|_| !introduced) {
                introduced = true;
                introduce(&self.feed, &self.source, "ogg/opus", head.channels).await?;
            }
            if !events.is_empty() {
                let heard = transcode::length(&events);
                self.feed.send(events, WallMicros::steady()).await?;
                self.pace.heard(heard, Instant::now())?;
            }
            if let Some(end) = ended {
                let rest = demuxer.end()?;
                self.feed.send(rest, WallMicros::steady()).await?;
                return demuxer.error().map_or(Ok(end), |error| Err(error.into()));
            }
            match self.next().await? {
                Ok(more) => bytes = more,
                Err(end) => (ended, bytes) = (Some(end), Bytes::new()),
            }
        }
    }

    /// Anything else: decoded and encoded on a thread of its own. The socket is read only as fast
    /// as the thread takes it.
    async fn transcode(&mut self, prefix: Bytes, ended: Option<End>) -> Result<End, Error> {
        let (bytes, outcomes) = thread::start()?;
        let Self { payload, feed, source, pace } = self;
        let forward = async move {
            let mut next = Ok(prefix);
            let mut ended = ended;
            while let Ok(portion) = next {
                if bytes.send(portion).await.is_err() {
                    // The thread has ended and says why on its own channel.
                    return std::future::pending().await;
                }
                next = match ended.take() {
                    Some(end) => Err(end),
                    None => payload.next().await?,
                };
            }
            next.map_or_else(Ok, |_| Err(Error::Decoder))
        };
        let take = take(outcomes, feed, source, pace);
        tokio::pin!(forward, take);
        tokio::select! {
            // Some formats say themselves where they end.
            taken = &mut take => taken.map(|()| End::Whole),
            // What was sent before the connection ended, or broke, is recorded first.
            ended = &mut forward => take.await.and(ended),
        }
    }
}

/// Hands on what a decoding thread gives, to its end.
async fn take(
    mut outcomes: mpsc::Receiver<Outcome>,
    feed: &Feed,
    source: &Source,
    pace: &mut Pace,
) -> Result<(), Error> {
    loop {
        let outcome = timeout_at(pace.deadline(), outcomes.recv()).await;
        let outcome = outcome.map_err(|_| pace.late())?;
        match outcome.ok_or(Error::Decoder)? {
            Outcome::Opened { name, channels } => introduce(feed, source, &name, channels).await?,
            Outcome::Events(events) => {
                let heard = transcode::length(&events);
                feed.send(events, WallMicros::steady()).await?;
                pace.heard(heard, Instant::now())?;
            }
            Outcome::Ended(ended) => return Ok(ended?),
        }
    }
}

/// Tells the room what the source's first bytes have shown.
async fn introduce(feed: &Feed, source: &Source, what: &str, channels: u8) -> Result<(), Closed> {
    let description = format!("{what}, {}", source.description);
    let source = Source { channels, description, ..source.clone() };
    feed.introduce(source, WallMicros::steady()).await
}
