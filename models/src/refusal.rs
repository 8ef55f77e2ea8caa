//! Answers to connections that are refused.
//!
//! A connection that is closed with unread bytes is reset, and the answer on its way may be lost with
//! it: what the other side has sent already is read and thrown away, within bounds.
//!
//! Deliberately unknown here: why it is refused ([`crate::doors`]), and how that is worded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long the other side may go on sending before it reads its answer.
const LINGER: Duration = Duration::from_secs(2);
/// How much it may send meanwhile.
const LINGER_BYTES: usize = 1024 * 1024;

/// Those that are being told of their refusal, so many at most.
#[derive(Debug)]
pub struct Refusals(Arc<Semaphore>);

impl Refusals {
    /// At most `most` are told at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most)))
    }

    /// The telling of `answer` over `stream`, at most two seconds long, to be spawned; `None`, and the
    /// connection closed without a word, where too many are being told already: such a crowd is what
    /// the doors are for.
    pub fn refuse<S>(
        &self,
        mut stream: S,
        answer: Vec<u8>,
    ) -> Option<impl Future<Output = ()> + use<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(async move {
            // Whoever hung up or takes nothing wants no answer.
            let _ = timeout(LINGER, tell(&mut stream, &answer)).await;
            drop(permit);
        })
    }
}

/// Sends `answer`, closes our side, and reads on for a while.
///
/// # Errors
/// The answer could not be sent.
pub async fn tell<S>(stream: &mut S, answer: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    let drain = async {
        let mut sink = [0; 4096];
        let mut left = LINGER_BYTES;
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    };
    // The time running out is as good an end as any.
    let _ = timeout(LINGER, drain).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn who_had_sent_already_hears_the_whole_answer_and_a_crowd_hears_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let refusals = Refusals::new(1);
        let mut client = TcpStream::connect(at).await.unwrap();
        client.write_all(&[b'x'; 60_000]).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let telling = refusals.refuse(stream, b"no".to_vec()).unwrap();
        let mut other = TcpStream::connect(at).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(refusals.refuse(stream, b"no".to_vec()).is_none());
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"");
        let telling = tokio::spawn(telling);
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"no");
        drop(client);
        telling.await.unwrap();
        assert_eq!(refusals.0.available_permits(), 1);
    }
}
