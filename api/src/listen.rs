//! The listening socket, and what one connection may take of us.
//!
//! | Bound | What happens beyond it |
//! |---|---|
//! | places, and connections of one address ([`models::doors`]) | the longest silent make way; else 503 |
//! | 15 s for a head, and between two requests | closed |
//! | 16 KiB and 64 fields of a head | 431 |
//! | 64 KiB of a request's body, 30 s until an answer begins (the router's) | 413, 503 |
//! | 75 s in which nothing of an answer could be sent | cut off; who reads slowly is waited for |
//!
//! A connection that has sent nothing yet was measured to take 11 KiB, one that has begun a head 18 KiB;
//! one at work holds its head, what it is being sent (16 KiB and a piece of the file), and its handler.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use models::doors::{Doors, Place};
use models::refusal::Refusals;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long answers under way may take after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(5);
/// How long to wait where a connection could not be accepted: no file descriptors are left, which
/// trying again at once would not mend.
const REST: Duration = Duration::from_millis(100);

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For a head, also the next one on a connection that is kept open.
    head: Duration,
    /// Without anything read or written: a download nobody takes, a browser that went to sleep.
    silent: Duration,
}

const LIMITS: Limits = Limits { head: Duration::from_secs(15), silent: Duration::from_secs(75) };
/// Bytes of a head, and of an answer that is gathered before it is sent: twice what Apache takes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Fields of a head.
const MAX_FIELDS: usize = 64;
/// How many that found no place may be told so at once.
const REFUSALS: usize = 64;
/// What they are told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Length: 0\r\n\r\n";

/// Serves `router` to whom `doors` let in on `listener`, until `shutdown`; answers under way are
/// finished, for five seconds at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    doors: Doors,
    shutdown: CancellationToken,
) {
    serve_within(listener, router, doors, LIMITS, shutdown).await;
}

async fn serve_within(
    listener: TcpListener,
    router: Router,
    doors: Doors,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let refusals = Refusals::new(REFUSALS);
    let accept = async {
        loop {
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_passing(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(REST).await;
                    continue;
                }
            };
            match doors.enter(address.ip(), std::time::Instant::now()) {
                Ok(place) => {
                    let talk = connection(stream, place, router.clone(), limits, shutdown.clone());
                    let cut = cut.clone();
                    connections.spawn(async move { cut.run_until_cancelled(talk).await });
                }
                Err(full) => {
                    tracing::debug!(%full, "a connection was refused");
                    if let Some(telling) = refusals.refuse(stream, FULL.to_vec()) {
                        let shutdown = shutdown.clone();
                        connections
                            .spawn(async move { shutdown.run_until_cancelled(telling).await });
                    }
                }
            }
        }
    };
    shutdown.run_until_cancelled(accept).await;
    drop(listener);
    connections.close();
    if timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!("answers under way were cut off by the shutdown");
        cut.cancel();
        connections.wait().await;
    }
}

/// Whether an error of `accept` is that of one connection which is gone already.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    place: Place,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    // Segments are small answers: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "socket option refused");
    }
    // Until its first byte nothing is set up for it.
    tokio::select! {
        spoke = timeout(limits.head, stream.readable()) => if spoke.is_err() { return },
        () = place.asked_to_leave() => return,
        () = shutdown.cancelled() => return,
    }
    Box::pin(talk(stream, place, router, limits, shutdown)).await;
}

async fn talk(
    stream: TcpStream,
    place: Place,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let place = std::sync::Arc::new(place);
    let watched = Watched::new(stream, limits.silent, {
        let place = std::sync::Arc::clone(&place);
        move || place.stir(std::time::Instant::now())
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    server.max_header_size(MAX_HEAD_BYTES).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_FIELDS);
    let talk = server.serve_connection(TokioIo::new(watched), TowerToHyperService::new(router));
    let mut talk = std::pin::pin!(talk);
    let ended = tokio::select! {
        ended = talk.as_mut() => ended,
        () = place.asked_to_leave() => return,
        () = shutdown.cancelled() => {
            talk.as_mut().graceful_shutdown();
            talk.await
        }
    };
    if let Err(error) = ended {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "a connection ended badly");
    }
}

/// A stream that fails once it has been silent in both directions for too long.
struct Watched<S, F> {
    stream: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    /// Told of every byte.
    stirred: F,
}

impl<S, F: Fn()> Watched<S, F> {
    fn new(stream: S, patience: Duration, stirred: F) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)), stirred }
    }

    /// Passes on what the stream said; silence past the deadline becomes an error.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let deadline = Instant::now() + self.patience;
            self.deadline.as_mut().reset(deadline);
            (self.stirred)();
            return polled;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin, F: Fn() + Unpin> AsyncRead for Watched<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.watch(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin, F: Fn() + Unpin> AsyncWrite for Watched<S, F> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, polled)
    }

    /// Not watched: a socket has nothing to flush, so that it would pass for a sign of life.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.watch(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use models::doors;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_ends_and_one_that_talks_does_not() {
        let (mut ours, theirs) = duplex(64);
        let patience = Duration::from_millis(30);
        let mut watched = Watched::new(theirs, patience, || {});
        let mut byte = [0];
        let began = Instant::now();
        // Longer in all than the patience, but never silent.
        while began.elapsed() < patience * 3 {
            ours.write_all(b"x").await.unwrap();
            watched.read_exact(&mut byte).await.unwrap();
            watched.write_all(b"y").await.unwrap();
            ours.read_exact(&mut byte).await.unwrap();
        }
        let error = watched.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // Nobody takes what is written: once the pipe is full that is silence too.
        let error = watched.write_all(&[0; 1000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    fn doors(places: usize) -> Doors {
        // Whoever is not at work may be asked to leave at once.
        Doors::new(doors::Limits { silent: Duration::ZERO, ..doors::Limits::of(places) })
    }

    /// A server whose answer has no end, with these limits.
    async fn endless(doors: Doors, limits: Limits) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let zeros =
            futures_util::stream::repeat_with(|| io::Result::Ok(Bytes::from_static(&[0; 65_536])));
        let router = Router::new()
            .route("/endless", get(async || Body::from_stream(zeros)))
            .route("/", get(async || "here"));
        let stop = CancellationToken::new();
        tokio::spawn(serve_within(listener, router, doors, limits, stop.clone()));
        (address, stop)
    }

    async fn told(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Both fail where it was answered before it was read.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn heads_that_never_end_or_are_too_large_are_not_waited_for() {
        let short = Limits { head: Duration::from_millis(100), ..LIMITS };
        let (address, _stop) = endless(doors(10), short).await;
        let get = "GET / HTTP/1.1\r\nHost: localhost\r\n";
        for (request, answer) in [
            (String::new(), ""),
            ("GET".to_owned(), ""),
            (get.to_owned(), ""),
            (format!("{get}A: {}\r\n\r\n", "a".repeat(20_000)), "HTTP/1.1 431 "),
            (format!("{get}{}\r\n", "A: b\r\n".repeat(100)), "HTTP/1.1 431 "),
            // Answered, and then closed for want of another head.
            (format!("{get}\r\n"), "HTTP/1.1 200 "),
        ] {
            let told = told(address, request.as_bytes()).await;
            assert!(told.starts_with(answer) && told.is_empty() == answer.is_empty(), "{told}");
        }
    }

    #[tokio::test]
    async fn who_reads_nothing_is_dropped_and_who_reads_slowly_is_served() {
        let patience = Duration::from_millis(200);
        let (address, _stop) = endless(doors(10), Limits { silent: patience, ..LIMITS }).await;
        let get = b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(get).await.unwrap();
        let mut piece = vec![0; 1024 * 1024];
        let began = Instant::now();
        // A window of loopback is some megabytes: that much makes room for more.
        while began.elapsed() < patience * 3 {
            tokio::time::sleep(patience / 10).await;
            stream.read_exact(&mut piece).await.unwrap();
        }
        // What was sent already can still be read; then what has no end breaks off.
        tokio::time::sleep(patience * 3).await;
        let rest = async { while let Ok(1..) = stream.read(&mut piece).await {} };
        timeout(Duration::from_secs(10), rest).await.expect("it was cut off");
    }

    #[tokio::test]
    async fn a_full_house_says_so_and_the_silent_make_way() {
        let get = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let (address, _stop) = endless(doors(1), LIMITS).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert!(told(address, get).await.starts_with("HTTP/1.1 200 "));
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);

        let patient = Doors::new(doors::Limits::of(1));
        let (address, _stop) = endless(patient.clone(), LIMITS).await;
        let _idle = TcpStream::connect(address).await.unwrap();
        while patient.taken() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(told(address, get).await.starts_with("HTTP/1.1 503 "));
    }

    #[tokio::test]
    async fn shutdown_finishes_what_is_under_way() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (more, parts) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
        let parts = std::sync::Mutex::new(Some(parts));
        let handler = async move || {
            let parts = parts.lock().unwrap().take().unwrap();
            Body::from_stream(futures_util::stream::unfold(parts, |mut parts| async {
                parts.recv().await.map(|part| (part, parts))
            }))
        };
        let handler = std::sync::Arc::new(handler);
        let router = Router::new().route("/", get(async move || handler().await));
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router, doors(10), shutdown.clone()));

        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        more.send(Ok("first".into())).await.unwrap();
        let mut text = Vec::new();
        while !text.ends_with(b"first\r\n") {
            stream.read_buf(&mut text).await.unwrap();
        }
        shutdown.cancel();
        more.send(Ok("last".into())).await.unwrap();
        drop(more);
        stream.read_to_end(&mut text).await.unwrap();
        assert!(text.ends_with(b"last\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&text));
        served.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
