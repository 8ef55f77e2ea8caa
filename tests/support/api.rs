//! The HTTP API as a client sees it.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::{secs, until};

/// How long an answer may take, its body included.
const ANSWER_WITHIN: Duration = secs(120);

/// How long a connection is kept for the next request: less than the server keeps it. A test that does
/// something else meanwhile does not see it closed.
const IDLE: Duration = secs(5);

/// A client of one server.
#[derive(Clone)]
pub struct Api {
    client: Client,
    /// `http://address`.
    pub base: String,
}

impl Api {
    pub fn new(http: SocketAddr) -> Self {
        let client = Client::builder().no_proxy().timeout(ANSWER_WITHIN).pool_idle_timeout(IDLE);
        let client = client.build().expect("a client");
        Self { client, base: format!("http://{http}") }
    }

    pub async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// GET that must succeed.
    pub async fn get(&self, path: &str) -> Value {
        json_of(path, self.request(Method::GET, path, None).await).await
    }

    /// POST that must succeed.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        json_of(path, self.request(Method::POST, path, Some(body)).await).await
    }

    /// The status and problem of a request that must fail.
    pub async fn problem(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        let answer = self.request(method, path, body).await;
        let status = answer.status();
        assert!(!status.is_success(), "{path} answered {status}");
        let problem: Value = answer.json().await.expect("problem details");
        (status.as_u16(), problem["code"].as_str().expect("a code").to_owned())
    }

    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let answer = self.request(Method::GET, path, None).await;
        assert!(answer.status().is_success(), "{path} answered {}", answer.status());
        answer.bytes().await.expect("a body").to_vec()
    }

    pub async fn text(&self, path: &str) -> String {
        String::from_utf8(self.bytes(path).await).expect("text")
    }

    /// Makes a room that takes Icecast sources; returns the source key.
    pub async fn icecast_room(&self, slug: &str) -> String {
        let room = json!({ "slug": slug, "title": slug, "source_key": "auto", "grace_ms": 3000 });
        let room = self.post("/api/rooms", room).await;
        room["source_key"].as_str().expect("a source key").to_owned()
    }

    /// Makes a room that takes RTP on `port`.
    pub async fn rtp_room(&self, slug: &str, port: u16, grace_ms: u64) {
        let room = json!({ "slug": slug, "title": slug, "rtp_port": port, "grace_ms": grace_ms });
        self.post("/api/rooms", room).await;
    }

    /// The newest recording of a room, once there is one in `state`.
    pub async fn recording(&self, slug: &str, state: &str, within: Duration) -> Value {
        until(&format!("a recording of {slug} that is {state}"), within, || async {
            let found = self.get(&format!("/api/recordings?room={slug}&limit=1")).await;
            found["items"].get(0).filter(|item| item["state"] == state).cloned()
        })
        .await
    }

    pub async fn end(&self, id: &str) -> Value {
        let path = format!("/api/recordings/{id}/end");
        self.request(Method::POST, &path, None).await;
        until("the recording to end", secs(30), || async {
            let recording = self.get(&format!("/api/recordings/{id}")).await;
            (recording["state"] == "ended").then_some(recording)
        })
        .await
    }

    /// The finished transcript of a whole recording.
    pub async fn transcript(&self, id: &str, within: Duration) -> Value {
        let path = format!("/api/recordings/{id}/transcript.json");
        until("the words", within, || async {
            let answer = self.request(Method::GET, &path, None).await;
            if answer.status() == StatusCode::NOT_FOUND {
                return None;
            }
            let transcript = json_of(&path, answer).await;
            let whole = transcript["state"] == "complete" && transcript["version"] != 0;
            whole.then_some(transcript)
        })
        .await
    }
}

/// The identifier of a recording or anything else.
pub fn id(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

async fn json_of(path: &str, answer: Response) -> Value {
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(status.is_success(), "{path} answered {status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}
