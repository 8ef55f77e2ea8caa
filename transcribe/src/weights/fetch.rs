//! Bringing weights here: over HTTP with resume, or from a file; checked before they get their name.
//!
//! A fetch writes `<file>.part` and goes on at its end after a break. Only a file whose size and
//! SHA-256 are those of the catalogue is renamed to its final name, so whatever bears that name has
//! been whole once. A part that turns out wrong is deleted: the next fetch begins anew.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, RANGE};
use sha2::{Digest as _, Sha256};

use super::catalogue::Entry;

/// Why weights could not be brought or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{step} {}", path.display())]
    File {
        /// What was being done.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server could not be reached, or broke off; what has come stays for the next try.
    #[error("fetching {url} (run the same command again to go on where it broke off)")]
    Network {
        /// The address.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("{url} answered {status}")]
    Refused {
        /// The address.
        url: String,
        /// Its answer.
        status: StatusCode,
    },
    /// Not the published bytes.
    #[error("{} is not the published file: {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Its size or digest against the catalogue's.
        what: String,
    },
}

/// Connecting may take this long.
const CONNECT: Duration = Duration::from_secs(15);
/// A server that sends nothing for this long has gone.
const STALL: Duration = Duration::from_secs(60);

/// Fetches `entry` from `source` (an address that ends in `/`) into `dir`; returns the file.
///
/// `progress` is called with bytes here and bytes in all. Proxies are taken from the environment
/// (`HTTPS_PROXY` and its like).
///
/// # Errors
/// See [`Error`]; after a broken connection what has come stays and the next call goes on there.
pub async fn pull(
    entry: &Entry,
    source: &str,
    dir: &Path,
    progress: impl Fn(u64, u64),
) -> Result<PathBuf, Error> {
    let (path, part) = paths(entry, dir)?;
    let url = format!("{source}{}", entry.file_name());
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&part)
        .map_err(|source| file_error("opening", &part, source))?;
    let mut here = file.metadata().map_err(|source| file_error("measuring", &part, source))?.len();
    if here > entry.bytes {
        here = restart(&file, &part)?;
    }
    if here < entry.bytes {
        let response = request(&url, here).await?;
        if here > 0 && !continues_at(&response, here) {
            here = restart(&file, &part)?;
        }
        let mut body = response.bytes_stream();
        progress(here, entry.bytes);
        while let Some(bytes) = body.next().await {
            let bytes = bytes.map_err(|source| Error::Network { url: url.clone(), source })?;
            file.write_all(&bytes).map_err(|source| file_error("writing", &part, source))?;
            here += bytes.len() as u64;
            progress(here, entry.bytes);
            if here > entry.bytes {
                break;
            }
        }
    }
    file.sync_all().map_err(|source| file_error("syncing", &part, source))?;
    admit(entry, &part, &path)?;
    Ok(path)
}

/// Takes `entry` from the file `from` into `dir`; returns the file there.
///
/// # Errors
/// See [`Error`].
pub fn take(
    entry: &Entry,
    from: &Path,
    dir: &Path,
    progress: impl Fn(u64, u64),
) -> Result<PathBuf, Error> {
    let (path, part) = paths(entry, dir)?;
    let mut source = File::open(from).map_err(|source| file_error("opening", from, source))?;
    let mut file = File::create(&part).map_err(|source| file_error("making", &part, source))?;
    let mut buffer = vec![0; 1 << 20];
    let mut here = 0;
    loop {
        let n = source.read(&mut buffer).map_err(|source| file_error("reading", from, source))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(|source| file_error("writing", &part, source))?;
        here += n as u64;
        progress(here, entry.bytes);
    }
    file.sync_all().map_err(|source| file_error("syncing", &part, source))?;
    admit(entry, &part, &path)?;
    Ok(path)
}

/// Checks that `path` holds exactly the published bytes of `entry`.
///
/// # Errors
/// [`Error::Wrong`] where it does not, [`Error::File`] where it cannot be read.
pub fn check(entry: &Entry, path: &Path) -> Result<(), Error> {
    let bytes =
        std::fs::metadata(path).map_err(|source| file_error("opening", path, source))?.len();
    let wrong = |what| Err(Error::Wrong { path: path.to_owned(), what });
    if bytes != entry.bytes {
        return wrong(format!("it has {bytes} bytes, not {}", entry.bytes));
    }
    let digest = sha256(path)?;
    if digest != entry.sha256 {
        return wrong(format!("its SHA-256 is {digest}, not {}", entry.sha256));
    }
    Ok(())
}

/// SHA-256 of a file, lower-case hex.
///
/// # Errors
/// [`Error::File`] where it cannot be read.
pub fn sha256(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(|source| file_error("opening", path, source))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(|source| file_error("reading", path, source))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The file's final path and the path of its part; makes the folder.
fn paths(entry: &Entry, dir: &Path) -> Result<(PathBuf, PathBuf), Error> {
    std::fs::create_dir_all(dir).map_err(|source| file_error("making the folder", dir, source))?;
    let name = entry.file_name();
    Ok((dir.join(&name), dir.join(format!("{name}.part"))))
}

async fn request(url: &str, from: u64) -> Result<reqwest::Response, Error> {
    let network = |source| Error::Network { url: url.to_owned(), source };
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .read_timeout(STALL)
        .build()
        .map_err(network)?;
    let mut request = client.get(url);
    if from > 0 {
        request = request.header(RANGE, format!("bytes={from}-"));
    }
    let response = request.send().await.map_err(network)?;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        status => Err(Error::Refused { url: url.to_owned(), status }),
    }
}

/// Whether the server does go on at byte `at`; one that does not know ranges sends the whole.
fn continues_at(response: &reqwest::Response, at: u64) -> bool {
    response.status() == StatusCode::PARTIAL_CONTENT
        && response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(&format!("bytes {at}-")))
}

fn restart(file: &File, part: &Path) -> Result<u64, Error> {
    file.set_len(0).map_err(|source| file_error("emptying", part, source))?;
    Ok(0)
}

/// Checks a finished part and gives it its name; a wrong one is deleted.
fn admit(entry: &Entry, part: &Path, path: &Path) -> Result<(), Error> {
    if let Err(error) = check(entry, part) {
        if matches!(error, Error::Wrong { .. }) {
            std::fs::remove_file(part).map_err(|source| file_error("deleting", part, source))?;
        }
        return Err(error);
    }
    std::fs::rename(part, path).map_err(|source| file_error("naming", path, source))
}

fn file_error(step: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { step, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    const BODY: &[u8] = b"these are the weights, as they were published";

    fn entry() -> Entry {
        let digest: String = Sha256::digest(BODY).iter().map(|b| format!("{b:02x}")).collect();
        Entry {
            name: "test",
            bytes: BODY.len() as u64,
            sha256: Box::leak(digest.into_boxed_str()),
            licence: "MIT",
            about: "",
        }
    }

    /// Serves `BODY` once for each of `answers`: whether ranges are honoured, and after how many
    /// bytes the connection breaks. Gives the address and the `Range` each request asked for.
    fn server(answers: Vec<(bool, usize)>) -> (String, mpsc::Receiver<Option<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (asked, ranges) = mpsc::channel();
        std::thread::spawn(move || {
            for (knows_ranges, cut) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut from = None;
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                        from = range.trim_end_matches('-').parse().ok();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let _ = asked.send(from);
                let start = from.filter(|_| knows_ranges).unwrap_or(0);
                let rest = &BODY[start..];
                let status = if start > 0 {
                    format!(
                        "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
                        BODY.len() - 1,
                        BODY.len()
                    )
                } else {
                    "200 OK".to_owned()
                };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", rest.len());
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&rest[..cut.min(rest.len())]).unwrap();
            }
        });
        (url, ranges)
    }

    #[tokio::test]
    async fn a_broken_fetch_goes_on_where_it_broke() {
        let dir = tempfile::tempdir().unwrap();
        let (url, ranges) = server(vec![(true, 10), (true, usize::MAX)]);
        let broken = pull(&entry(), &url, dir.path(), |_, _| ()).await;
        assert!(matches!(broken, Err(Error::Network { .. })), "{broken:?}");
        let path = pull(&entry(), &url, dir.path(), |_, _| ()).await.unwrap();
        assert_eq!(std::fs::read(path).unwrap(), BODY);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [None, Some(10)]);
    }

    #[tokio::test]
    async fn a_server_without_ranges_sends_it_all_again() {
        let dir = tempfile::tempdir().unwrap();
        let (url, _) = server(vec![(false, 10), (false, usize::MAX)]);
        assert!(pull(&entry(), &url, dir.path(), |_, _| ()).await.is_err());
        let path = pull(&entry(), &url, dir.path(), |_, _| ()).await.unwrap();
        assert_eq!(std::fs::read(path).unwrap(), BODY);
    }

    #[tokio::test]
    async fn other_bytes_never_get_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let other = Entry { sha256: "00", ..entry() };
        let (url, _) = server(vec![(true, usize::MAX)]);
        let wrong = pull(&other, &url, dir.path(), |_, _| ()).await;
        assert!(matches!(wrong, Err(Error::Wrong { .. })), "{wrong:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_cut_in_half_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let half = dir.path().join("half");
        std::fs::write(&half, &BODY[..BODY.len() / 2]).unwrap();
        let into = dir.path().join("weights");
        assert!(matches!(take(&entry(), &half, &into, |_, _| ()), Err(Error::Wrong { .. })));
        std::fs::write(&half, BODY).unwrap();
        let path = take(&entry(), &half, &into, |_, _| ()).unwrap();
        check(&entry(), &path).unwrap();
    }
}
