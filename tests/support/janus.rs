//! Debian's Janus with one AudioBridge room whose mix is forwarded as RTP.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{secs, until};

/// A running Janus; killed when dropped.
pub struct Janus {
    _process: servers::Process,
    client: Client,
    handle: String,
    _conf: TempDir,
}

const ROOM: u32 = 1234;

impl Janus {
    /// Starts Janus with a room that forwards its mix to `rtp_port`, silence included.
    pub async fn start(rtp_port: u16) -> Self {
        let conf = tempfile::tempdir().expect("a folder");
        let http = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port");
        configure(conf.path(), http.port(), rtp_port);
        let mut command = Command::new("janus");
        command
            .arg("-F")
            .arg(conf.path())
            .arg("-C")
            .arg(conf.path().join("janus.jcfg"))
            .stdout(File::create(conf.path().join("log")).expect("a log"))
            .stderr(Stdio::null());
        let process = servers::Process::start("janus", &mut command).expect("starting janus");
        let client = Client::builder().no_proxy().timeout(secs(30)).build().expect("a client");
        let base = format!("http://{http}/janus");
        let session = until("janus to answer", secs(30), || async {
            ask(&client, &base, json!({ "janus": "create" })).await
        })
        .await;
        let base = format!("{base}/{}", session["data"]["id"]);
        let attach = json!({ "janus": "attach", "plugin": "janus.plugin.audiobridge" });
        let attached = ask(&client, &base, attach).await.expect("the AudioBridge");
        let handle = format!("{base}/{}", attached["data"]["id"]);
        Self { _process: process, client, handle, _conf: conf }
    }

    /// Plays an Ogg Opus file into the room.
    pub async fn play(&self, file: &Path) {
        let request = json!({
            "janus": "message",
            "body": { "request": "play_file", "room": ROOM, "secret": "s", "filename": file },
        });
        let answer = ask(&self.client, &self.handle, request).await.expect("an answer");
        assert_eq!(answer["plugindata"]["data"]["audiobridge"], "success", "{answer}");
    }
}

async fn ask(client: &Client, url: &str, mut request: Value) -> Option<Value> {
    request["transaction"] = "t".into();
    let answer: Value = client.post(url).json(&request).send().await.ok()?.json().await.ok()?;
    assert_eq!(answer["janus"], "success", "{answer}");
    Some(answer)
}

/// Only the AudioBridge and the HTTP transport, on loopback.
fn configure(conf: &Path, http_port: u16, rtp_port: u16) {
    let installed = installed();
    for (folder, library) in
        [("plugins", "libjanus_audiobridge.so"), ("transports", "libjanus_http.so")]
    {
        fs::create_dir(conf.join(folder)).expect("a folder");
        symlink(installed.join(folder).join(library), conf.join(folder).join(library))
            .expect("a link to Janus' library");
    }
    let path = conf.display();
    let write = |name: &str, text: String| fs::write(conf.join(name), text).expect("a file");
    write(
        "janus.jcfg",
        format!(
            "general: {{ configs_folder = \"{path}\" plugins_folder = \"{path}/plugins\" \
             transports_folder = \"{path}/transports\" interface = \"127.0.0.1\" }}\n\
             nat: {{ ice_enforce_list = \"lo\" }}\n"
        ),
    );
    write(
        "janus.transport.http.jcfg",
        format!(
            "general: {{ base_path = \"/janus\" http = true port = {http_port} ip = \"127.0.0.1\" \
             https = false }}\nadmin: {{ admin_http = false }}\n"
        ),
    );
    write(
        "janus.plugin.audiobridge.jcfg",
        format!(
            "general: {{ }}\nroom-{ROOM}: {{ description = \"room\" secret = \"s\" \
             sampling_rate = 48000 rtp_forward_host = \"127.0.0.1\" rtp_forward_port = {rtp_port} \
             rtp_forward_ptype = 111 rtp_forward_always_on = true }}\n"
        ),
    );
}

/// Debian's folder of Janus' libraries on this processor.
fn installed() -> PathBuf {
    fs::read_dir("/usr/lib")
        .expect("/usr/lib")
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("janus"))
        .find(|path| path.join("plugins").is_dir())
        .expect("Janus' libraries below /usr/lib")
}
