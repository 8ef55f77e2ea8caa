//! The listening socket: connections that go silent are closed, and shutdown does not wait for ever.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// A connection on which nothing could be read or written for this long is closed: a head that never
/// ends, a download nobody takes, a browser that went to sleep.
const IDLE: Duration = Duration::from_secs(75);
/// How long answers under way may take after a shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `shutdown`; answers under way are finished, for five seconds
/// at most.
///
/// # Errors
/// Those of the listening socket.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let drained = async {
        shutdown.cancelled().await;
        sleep(DRAIN).await;
    };
    let serve = axum::serve(Listener(listener), router)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        result = serve => result,
        () = drained => {
            tracing::warn!("answers under way were cut off by the shutdown");
            Ok(())
        }
    }
}

struct Listener(TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Watched<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // axum's own listener knows which errors of accept pass and waits for them.
        let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
        // Segments are small answers: waiting to fill a packet would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "socket option refused");
        }
        (Watched::new(stream, IDLE), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// A stream that fails once it has been silent in both directions for too long.
struct Watched<S> {
    stream: S,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Watched<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, deadline: Box::pin(sleep(patience)) }
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
            return polled;
        }
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.watch(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, polled)
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
    use axum::body::{Body, Bytes};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_ends_and_one_that_talks_does_not() {
        let (mut ours, theirs) = duplex(64);
        let patience = Duration::from_millis(30);
        let mut watched = Watched::new(theirs, patience);
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
        let served = tokio::spawn(serve(listener, router, shutdown.clone()));

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
        served.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
