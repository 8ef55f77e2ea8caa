//! `roomtape demo`: a bundled conversation goes live through the Icecast tap, over the network like
//! any source, is recorded, transcribed and replayed; then its words are held against the script.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::{self, Options};
use crate::config::{self, Config, Secret};
use crate::log;
use crate::serve::{self, Server};
use crate::signals;

/// The conversation as a room sends it, and the truth about it.
const CONVERSATION: &[u8] = include_bytes!("../tests/data/conversation.opus");
const TRUTH: &str = include_str!("../tests/data/conversation.json");

const SLUG: &str = "demo";
/// How often the replay's state is asked for.
const LOOK: Duration = Duration::from_millis(200);
/// Longest wait for a recording to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// Longest wait for a recording to end or its words to be ready.
const PATIENCE: Duration = Duration::from_secs(600);

/// Runs the demo.
///
/// # Errors
/// What kept it from its end; with `--once` also words that are not those of the script.
pub(crate) async fn run(options: &Options, args: cli::Demo) -> anyhow::Result<()> {
    if !(0.1..=100.0).contains(&args.speed) {
        bail!("--speed must be 0.1 to 100");
    }
    let (options, folder) = with_folder(options)?;
    let mut config = config::load(&options)?.validate()?;
    if folder.is_some() {
        // Nothing of the demo is meant to stay, wherever else recordings are kept.
        config.keep_all_in_data();
    }
    let config = with_free_addresses(&options, config).await?;
    let ending = signals::heed()?;
    let server = serve::start(&config).await?;
    let shown = tokio::select! {
        shown = show(&server, &config, &args, &ending) => shown,
        () = ending.cancelled() => Ok(()),
    };
    let ended = server.end().await;
    shown.and(ended)
}

/// The data folder: the one asked for, else a temporary one that goes when the demo ends.
fn with_folder(options: &Options) -> anyhow::Result<(Options, Option<tempfile::TempDir>)> {
    let mut options = options.clone();
    if options.data.is_some() || std::env::var_os("ROOMTAPE_DATA").is_some() {
        return Ok((options, None));
    }
    let folder = tempfile::Builder::new()
        .prefix("roomtape-demo-")
        .tempdir()
        .context("making a temporary folder")?;
    options.data = Some(folder.path().to_owned());
    Ok((options, Some(folder)))
}

/// The usual addresses where they are free, others where they are taken and were not asked for.
async fn with_free_addresses(options: &Options, mut config: Config) -> anyhow::Result<Config> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    if options.http.is_none() && TcpListener::bind(config.http).await.is_err() {
        config.http = any;
    }
    config.icecast = match config.icecast {
        None => bail!("the demo's room comes in by Icecast: icecast may not be \"off\""),
        Some(asked) if options.icecast.is_some() => Some(asked),
        Some(usual) if TcpListener::bind(usual).await.is_ok() => Some(usual),
        Some(_) => Some(any),
    };
    Ok(config)
}

/// Plays the room and follows it to its replay.
async fn show(
    server: &Server,
    config: &Config,
    args: &cli::Demo,
    ending: &CancellationToken,
) -> anyhow::Result<()> {
    let token = config.operator_token.as_ref().map(Secret::expose);
    let api = Api::new(server.http, token)?;
    let key = api.room().await?;
    let icecast = server.icecast.context("the Icecast tap is off")?;
    let source = Source::connect(icecast, &key).await?;
    // The recording begins with the first sound, so it is looked for while the room plays.
    let playing = tokio::spawn(source.play(args.speed));
    let recording = api.live_recording().await?;
    let address = format!("http://{}/recordings/{recording}", server.http);
    log::print(&format!("a room is live; watch it being written down:\n\n    {address}\n"));
    playing.await?.context("playing the room")?;
    api.post(&format!("recordings/{recording}/end")).await?;
    let transcript = api.words(&recording).await?;
    report(&transcript)?;
    if args.once {
        return Ok(());
    }
    log::print(&format!("\nthe replay is at\n\n    {address}\n\nCtrl-C ends the demo"));
    ending.cancelled().await;
    Ok(())
}

/// Says how near the words came to the script.
fn report(transcript: &transcribe::score::Transcript) -> anyhow::Result<()> {
    let truth = transcribe::score::Truth::parse(TRUTH).context("reading the script")?;
    let score = transcribe::score::score(&truth, transcript);
    log::print(&score.to_string());
    Ok(())
}

/// Our own API as any client sees it.
struct Api {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Keyed {
    source_key: Option<String>,
}

#[derive(Deserialize)]
struct Recordings {
    items: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

#[derive(Deserialize)]
struct Words {
    version: u32,
    state: String,
    segments: Vec<transcribe::score::Segment>,
}

impl Api {
    fn new(http: SocketAddr, token: Option<&str>) -> anyhow::Result<Self> {
        // The server is this very machine: a proxy from the environment must not come between.
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, base: format!("http://{http}/api"), token: token.map(str::to_owned) })
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}/{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn post(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.request(reqwest::Method::POST, path).send().await?;
        if !answer.status().is_success() {
            bail!("POST {path} answered {}: {}", answer.status(), answer.text().await?);
        }
        Ok(())
    }

    /// Makes the room, or gives an earlier demo's room a new key; returns the source's key.
    async fn room(&self) -> anyhow::Result<String> {
        let room = serde_json::json!({
            "slug": SLUG,
            "title": "Keeping live audio: a conversation",
            "host": "Maya",
            "source_key": "auto",
        });
        let mut answer = self.request(reqwest::Method::POST, "rooms").json(&room).send().await?;
        if answer.status() == reqwest::StatusCode::CONFLICT {
            let key = serde_json::json!({ "source_key": "auto" });
            answer = self
                .request(reqwest::Method::PATCH, &format!("rooms/{SLUG}"))
                .json(&key)
                .send()
                .await?;
        }
        let status = answer.status();
        let text = answer.text().await?;
        let keyed: Keyed = serde_json::from_str(&text)
            .with_context(|| format!("making the room: {status}: {text}"))?;
        keyed.source_key.context("the room was made without a source key")
    }

    /// Waits for the recording that the source's arrival begins.
    async fn live_recording(&self) -> anyhow::Result<String> {
        let path = format!("recordings?room={SLUG}&state=live&limit=1");
        let deadline = Instant::now() + BEGIN;
        while Instant::now() < deadline {
            let answer = self.request(reqwest::Method::GET, &path).send().await?;
            let listed: Recordings = answer.error_for_status()?.json().await?;
            if let Some(recording) = listed.items.into_iter().next() {
                return Ok(recording.id);
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("the room is live, but no recording was begun")
    }

    /// Waits for the finished words.
    async fn words(&self, recording: &str) -> anyhow::Result<transcribe::score::Transcript> {
        let path = format!("recordings/{recording}/transcript.json");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let answer = self.request(reqwest::Method::GET, &path).send().await?;
            if answer.status().is_success() {
                let words: Words = answer.json().await.context("reading the transcript")?;
                if words.version > 0 && words.state == "complete" {
                    return Ok(transcribe::score::Transcript { segments: words.segments });
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("no finished transcript within {} s: see `roomtape jobs`", PATIENCE.as_secs())
    }
}

/// The room's sender: an Icecast source client.
struct Source {
    stream: TcpStream,
}

impl Source {
    async fn connect(icecast: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(icecast).await.context("reaching the Icecast tap")?;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("source:{key}"));
        let head = format!(
            "PUT /{SLUG} HTTP/1.1\r\nHost: {icecast}\r\nAuthorization: Basic {login}\r\n\
             User-Agent: roomtape-demo\r\nContent-Type: audio/ogg\r\nExpect: 100-continue\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < 4096 {
            answer.push(stream.read_u8().await.context("reading the tap's answer")?);
        }
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.lines().next().unwrap_or_default();
        if !status.contains(" 100 ") && !status.contains(" 200 ") {
            bail!("the Icecast tap refused the demo's room: {status}");
        }
        Ok(Self { stream })
    }

    /// Sends the conversation page by page, each when it would be heard.
    async fn play(mut self, speed: f64) -> anyhow::Result<()> {
        let begin = Instant::now();
        for page in pages(CONVERSATION)? {
            tokio::time::sleep_until(begin + page.heard_after.div_f64(speed)).await;
            self.stream.write_all(page.bytes).await?;
        }
        self.stream.flush().await?;
        self.stream.shutdown().await?;
        Ok(())
    }
}

/// One page of the conversation (RFC 3533, section 6).
struct Page {
    bytes: &'static [u8],
    heard_after: Duration,
}

/// Cuts an Ogg file into its pages; each is due when the one before it has been heard.
fn pages(mut file: &'static [u8]) -> anyhow::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut heard_after = Duration::ZERO;
    while !file.is_empty() {
        let segments = *file.get(26).context("the bundled conversation is cut off")? as usize;
        let table = file.get(27..27 + segments).context("the bundled conversation is cut off")?;
        let length = 27 + segments + table.iter().map(|&size| usize::from(size)).sum::<usize>();
        let granule: [u8; 8] = file[6..14].try_into()?;
        if length > file.len() {
            bail!("the bundled conversation is cut off");
        }
        let (bytes, rest) = file.split_at(length);
        pages.push(Page { bytes, heard_after });
        heard_after = Duration::from_micros(u64::from_le_bytes(granule) * 1_000_000 / 48_000);
        file = rest;
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conversation_is_sent_in_time_and_whole() {
        let pages = pages(CONVERSATION).unwrap();
        let bytes: usize = pages.iter().map(|page| page.bytes.len()).sum();
        assert_eq!(bytes, CONVERSATION.len());
        assert!(pages.windows(2).all(|pair| pair[0].heard_after <= pair[1].heard_after));
        let last = pages.last().unwrap().heard_after;
        assert!(last > Duration::from_secs(95) && last < Duration::from_secs(100), "{last:?}");
        let widest =
            pages.windows(2).map(|pair| pair[1].heard_after - pair[0].heard_after).max().unwrap();
        assert!(widest <= Duration::from_secs(2), "{widest:?}");
    }

    #[test]
    fn an_own_folder_is_kept_and_a_temporary_one_is_not() {
        let own = Options { data: Some("here".into()), ..Options::default() };
        assert!(with_folder(&own).unwrap().1.is_none());
        assert!(with_folder(&Options::default()).unwrap().1.is_some());
    }
}
