//! A proxy before a server, through which a link can be made slow, broken or dishonest.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long an HTTP request may take to come in whole where it is answered here.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// Bytes passed at a time.
const PORTION: usize = 16 * 1024;

/// What a link is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// As it should be.
    None,
    /// Each portion takes so much longer, in either direction.
    Slow(Duration),
    /// Connections end, and nobody can connect.
    Cut,
    /// Connections are taken, and nothing is ever heard.
    Silent,
    /// Connections end after so many bytes in one direction.
    Short(usize),
    /// HTTP requests are answered with this status and S3 error code; the server does not hear of
    /// them.
    Answer(u16, &'static str),
}

impl Fault {
    /// Whether connections made before go on.
    fn passes(self) -> bool {
        matches!(self, Self::None | Self::Slow(_))
    }
}

/// Stands before a server; gone when dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    spoiled: AtomicUsize,
    closed: AtomicBool,
}

#[derive(Debug)]
struct State {
    fault: Fault,
    /// Both ends of each connection.
    open: HashMap<usize, Vec<TcpStream>>,
    next: usize,
}

impl Link {
    /// A link without fault to the server at `server`.
    ///
    /// # Panics
    /// There is no free port.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State { fault: Fault::None, open: HashMap::new(), next: 0 };
        let (spoiled, closed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { server, state: Mutex::new(state), spoiled, closed });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if serving.closed.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // Broken pipes are what this is about.
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { address, shared }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `url` with this link in the place of its server's address.
    ///
    /// # Panics
    /// The server's address does not stand in it.
    #[must_use]
    pub fn in_place(&self, url: &str) -> String {
        let server = self.shared.server.to_string();
        assert!(url.contains(&server), "{server} is not in the address");
        url.replace(&server, &self.address.to_string())
    }

    /// Makes the link so. Connections that would not be what the link is like any more end.
    pub fn set(&self, fault: Fault) {
        let mut state = self.shared.state();
        let go_on = state.fault.passes() && fault.passes();
        state.fault = fault;
        if !go_on {
            let open = std::mem::take(&mut state.open);
            open.values().flatten().for_each(close);
        }
    }

    /// How many connections or requests were spoiled so far; slow ones do not count.
    #[must_use]
    pub fn spoiled(&self) -> usize {
        self.shared.spoiled.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.set(Fault::Cut);
        // Has the listener look.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spoil(&self) {
        self.spoiled.fetch_add(1, Ordering::Relaxed);
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        let _ = client.set_nodelay(true);
        let number = {
            let mut state = self.state();
            let number = state.next;
            state.next += 1;
            state.open.insert(number, vec![client.try_clone()?]);
            number
        };
        let done = self.serve_as(client, number);
        if let Some(ends) = self.state().open.remove(&number) {
            ends.iter().for_each(close);
        }
        done
    }

    fn serve_as(&self, mut client: TcpStream, number: usize) -> io::Result<()> {
        let fault = self.state().fault;
        match fault {
            Fault::Cut => self.spoil(),
            Fault::Silent => {
                self.spoil();
                io::copy(&mut client, &mut io::sink())?;
            }
            Fault::Answer(status, code) => self.answer(client, status, code)?,
            Fault::None | Fault::Slow(_) => self.pass(client, number, usize::MAX)?,
            Fault::Short(bytes) => self.pass(client, number, bytes)?,
        }
        Ok(())
    }

    fn pass(&self, client: TcpStream, number: usize, most: usize) -> io::Result<()> {
        let server = TcpStream::connect(self.server)?;
        server.set_nodelay(true)?;
        match self.state().open.get_mut(&number) {
            Some(ends) => ends.push(server.try_clone()?),
            // The link changed meanwhile.
            None => return Ok(()),
        }
        let (back, forth) = (server.try_clone()?, client.try_clone()?);
        thread::scope(|scope| {
            scope.spawn(|| self.pump(back, forth, most));
            self.pump(client, server, most);
        });
        Ok(())
    }

    /// Passes on what `from` sends, at most so much of it.
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, most: usize) {
        let mut portion = vec![0; PORTION];
        let mut left = most;
        while let Ok(read) = from.read(&mut portion) {
            if read == 0 {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if let Fault::Slow(by) = self.state().fault {
                thread::sleep(by);
            }
            let passed = read.min(left);
            if to.write_all(&portion[..passed]).is_err() {
                break;
            }
            left -= passed;
            if left == 0 {
                self.spoil();
                break;
            }
        }
        close(&from);
        close(&to);
    }

    /// Reads one request and answers it; then the connection ends.
    fn answer(&self, mut client: TcpStream, status: u16, code: &str) -> io::Result<()> {
        client.set_read_timeout(Some(REQUEST_WITHIN))?;
        read_request(&mut client)?;
        self.spoil();
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
        );
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        )
    }
}

fn close(end: &TcpStream) {
    // It may be closed already.
    let _ = end.shutdown(Shutdown::Both);
}

/// Reads a request's head and, where that says how long it is, its body.
fn read_request(client: &mut TcpStream) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut portion = vec![0; PORTION];
    let mut whole = None;
    while whole.is_none_or(|whole| bytes.len() < whole) {
        let read = client.read(&mut portion)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&portion[..read]);
        if whole.is_none()
            && let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n")
        {
            let text = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
            let length = text.split("\r\ncontent-length:").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok());
            // Whoever waits to be told to go on is told otherwise.
            let body = length.filter(|_| !text.contains("expect: 100-continue"));
            whole = Some(head + 4 + body.unwrap_or(0));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says back what it hears, and a link to it.
    fn echo() -> Link {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let link = Link::to(listener.local_addr().expect("it is bound"));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut back = client.try_clone().expect("a handle");
                thread::spawn(move || io::copy(&mut &client, &mut back));
            }
        });
        link
    }

    fn connect(link: &Link) -> TcpStream {
        let client = TcpStream::connect(link.address()).expect("it listens");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        client
    }

    /// What comes back of `said` until the connection ends or all of it has come.
    fn back(client: &mut TcpStream, said: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        if client.write_all(said).is_ok() {
            let mut portion = [0; 64];
            while heard.len() < said.len() {
                match client.read(&mut portion) {
                    Ok(read) if read > 0 => heard.extend_from_slice(&portion[..read]),
                    _ => break,
                }
            }
        }
        heard
    }

    #[test]
    fn each_fault_is_what_it_says_and_passes() {
        let link = echo();
        let mut old = connect(&link);
        assert_eq!(back(&mut old, b"hello"), b"hello");
        link.set(Fault::Slow(Duration::from_millis(5)));
        assert_eq!(back(&mut old, b"slowly"), b"slowly");
        link.set(Fault::None);
        assert_eq!(back(&mut old, b"again"), b"again");
        assert_eq!(link.spoiled(), 0);

        link.set(Fault::Cut);
        assert_eq!(back(&mut old, b"anybody"), b"");
        assert_eq!(back(&mut connect(&link), b"anybody"), b"");
        link.set(Fault::Short(3));
        assert!(b"hel".starts_with(&back(&mut connect(&link), b"hello")));
        link.set(Fault::Answer(503, "SlowDown"));
        let mut client = connect(&link);
        let request = b"PUT /x HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody";
        client.write_all(request).expect("it listens");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("SlowDown"), "{answer}");
        link.set(Fault::Silent);
        let mut client = connect(&link);
        client.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        assert_eq!(back(&mut client, b"anybody"), b"");
        assert!(link.spoiled() >= 4, "{}", link.spoiled());

        link.set(Fault::None);
        assert_eq!(back(&mut client, b"anybody"), b"", "it was made on a broken link");
        assert_eq!(back(&mut connect(&link), b"hello"), b"hello");
    }

    #[test]
    fn an_address_leads_through_it() {
        let link = echo();
        let url = format!("postgres://me@{}/db", link.shared.server);
        assert_eq!(link.in_place(&url), format!("postgres://me@{}/db", link.address()));
    }
}
