//! Stands between a client and its server and spoils what passes, as told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::key::Key;
use crate::store::Store;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The connection ends before the server hears of it.
    Reset,
    /// The server does it, but its answer is lost.
    LoseAnswer,
    /// The answer ends in the middle of its body.
    CutAnswer,
    /// The answer has half its body and says that this is all.
    ShortAnswer,
    /// Another answer than the server's, who does not hear of it: status and S3 code.
    Answer(u16, &'static str),
    /// A byte of the request's body is another one.
    Alter,
    /// Another object is put in place of this one, and the answer is that all went well.
    Replace(Store, Key, Bytes),
    /// No answer, ever.
    Stall,
}

/// What to do to a request with this method, of which there were so many before.
type Plan = dyn Fn(&str, usize) -> Fault + Send + Sync;

pub(super) struct Proxy {
    pub(super) endpoint: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    /// One before the Garage of all tests.
    pub(super) async fn start(plan: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let plan: Arc<Plan> = Arc::new(plan);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let counts = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (plan, counts) = (Arc::clone(&plan), Arc::clone(&counts));
                // Broken pipes are what this is about.
                tokio::spawn(async move { pass(client, &*plan, &counts).await });
            }
        });
        Self { endpoint, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// How many requests with this method came.
    pub(super) fn asked(&self, method: &str) -> usize {
        self.asked.lock().unwrap().get(method).copied().unwrap_or_default()
    }
}

/// One request and its answer; then the connection ends.
async fn pass(
    mut client: TcpStream,
    plan: &Plan,
    counts: &Mutex<HashMap<String, usize>>,
) -> io::Result<()> {
    let (head, mut body) = message(&mut client).await?;
    let method = head.split(' ').next().unwrap_or_default().to_owned();
    let fault = {
        let mut counts = counts.lock().unwrap();
        let before = counts.entry(method.clone()).or_default();
        *before += 1;
        plan(&method, *before - 1)
    };
    match fault {
        Fault::Reset => return Ok(()),
        Fault::Stall => std::future::pending().await,
        Fault::Answer(status, code) => return answer(client, status, code).await,
        Fault::Replace(store, key, bytes) => {
            store.put(&key, bytes).await.unwrap();
            return answer(client, 200, "").await;
        }
        Fault::Alter => {
            if let Some(byte) = body.first_mut() {
                *byte ^= 1;
            }
        }
        Fault::None | Fault::LoseAnswer | Fault::CutAnswer | Fault::ShortAnswer => {}
    }
    let upstream = servers::garage().endpoint();
    let mut server = TcpStream::connect(upstream.trim_start_matches("http://")).await?;
    // Not signed; it makes the end of the answer the end of the connection.
    let head = head.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(head.as_bytes()).await?;
    server.write_all(&body).await?;
    let mut whole = Vec::new();
    server.read_to_end(&mut whole).await?;
    let start = whole.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
    let half = start + (whole.len() - start) / 2;
    match fault {
        Fault::LoseAnswer => Ok(()),
        Fault::CutAnswer => client.write_all(&whole[..half]).await,
        Fault::ShortAnswer => {
            let head = String::from_utf8_lossy(&whole[..start]);
            let (long, short) = (whole.len() - start, half - start);
            let said = format!("content-length: {long}\r\n");
            let at = head.to_ascii_lowercase().find(&said).expect("it says how long it is");
            let (before, after) = (&head[..at], &head[at + said.len()..]);
            let head = format!("{before}content-length: {short}\r\n{after}");
            client.write_all(head.as_bytes()).await?;
            client.write_all(&whole[start..half]).await
        }
        _ => client.write_all(&whole).await,
    }
}

/// Head and body of a request.
async fn message(from: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let start = loop {
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if from.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = bytes.split_off(start);
    let head = String::from_utf8(bytes).unwrap();
    let lower = head.to_lowercase();
    let length =
        lower.split("\r\ncontent-length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while body.len() < length {
        if from.read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok((head, body))
}

async fn answer(mut client: TcpStream, status: u16, code: &str) -> io::Result<()> {
    let body = match code {
        "" => String::new(),
        _ => format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
        ),
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await
}
