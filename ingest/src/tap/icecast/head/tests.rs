use proptest::prelude::*;

use super::*;

fn head(text: &str) -> Head {
    match Head::parse(text.as_bytes()) {
        Parsed::Head { head, length } if length == text.len() => head,
        other => panic!("{other:?}"),
    }
}

fn bad(text: &[u8]) -> u16 {
    match Head::parse(text) {
        Parsed::Bad { status, .. } => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_ffmpeg_sends_is_read() {
    let head = head(
        "PUT /town-hall HTTP/1.1\r\nUser-Agent: Lavf/59.27.100\r\nAccept: */*\r\n\
         Expect: 100-continue\r\nConnection: close\r\nHost: 127.0.0.1:8091\r\n\
         Content-Type: audio/ogg\r\nIcy-MetaData: 1\r\nIce-Public: 0\r\nIce-Name: Town hall\r\n\
         Authorization: Basic c291cmNlOmhhY2s6bWU=\r\n\r\n",
    );
    assert_eq!((head.method, head.version), (Method::Put, Version::Http11));
    assert_eq!(head.mount, "town-hall");
    let login = Login { user: "source".into(), password: "hack:me".into() };
    assert_eq!(head.login, Some(login));
    assert_eq!(head.content_type.as_deref(), Some("audio/ogg"));
    assert!(head.expects_continue);
    assert_eq!(head.framing, Framing::Endless);
    assert_eq!(head.agent.as_deref(), Some("Lavf/59.27.100"));
    assert_eq!(head.name.as_deref(), Some("Town hall"));
}

#[test]
fn what_older_sources_send_is_read() {
    for (line, version) in
        [("SOURCE /a ICE/1.0", Version::Http10), ("SOURCE /a HTTP/1.0", Version::Http10)]
    {
        let head = head(&format!(
            "{line}\r\ncontent-type:  Audio/MPEG ; x=y\r\n\
             ice-audio-info: ice-samplerate=44100;ice-channels=1\r\n\r\n"
        ));
        assert_eq!((head.method, head.version), (Method::Source, version));
        assert_eq!(head.content_type.as_deref(), Some("audio/mpeg"));
        assert_eq!(head.channels, Some(1));
        assert_eq!(head.login, None);
    }
    assert_eq!(head("SOURCE /a?x=y ICE/1.0\nice-audio-info: channels=2\n\n").channels, Some(2));
    assert_eq!(head("GET /a HTTP/1.1\r\n\r\n").method, Method::Other);
}

#[test]
fn the_bodys_end_is_found_in_the_head() {
    let framing = |fields: &str| head(&format!("PUT /a HTTP/1.1\r\n{fields}\r\n")).framing;
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
    assert_eq!(framing("Content-Length: 12\r\nContent-Length: 12\r\n"), Framing::Length(12));
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Length(0));
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        assert_eq!(bad(format!("PUT /a HTTP/1.1\r\n{fields}\r\n").as_bytes()), 400, "{fields}");
    }
}

#[test]
fn bad_heads_are_told_from_unfinished_ones() {
    for unfinished in
        ["", "P", "PUT /a HTTP/1.1", "PUT /a HTTP/1.1\r\n", "PUT /a HTTP/1.1\r\nA: b\r\n"]
    {
        assert_eq!(Head::parse(unfinished.as_bytes()), Parsed::Incomplete, "{unfinished:?}");
    }
    for (status, text) in [
        (400, &b"\x16\x03\x01"[..]),
        (400, b"put /a HTTP/1.1\r\n\r\n"),
        (400, b"PUT /a\r\n\r\n"),
        (400, b"PUT /a HTTP/2\r\n\r\n"),
        (400, b"PUT a HTTP/1.1\r\n\r\n"),
        (400, b"PUT  /a HTTP/1.1\r\n\r\n"),
        (400, b"PUT /\xff HTTP/1.1\r\n\r\n"),
        (400, b"PUT /a\x07 HTTP/1.1\r\n\r\n"),
        (400, b"PUT /a HTTP/1.1\r\nno colon\r\n\r\n"),
        (431, &[b'A'; MAX_HEAD_BYTES]),
    ] {
        assert_eq!(bad(text), status, "{text:?}");
    }
    let many = format!("PUT /a HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
    assert_eq!(bad(many.as_bytes()), 431);
    let long = format!("PUT /a HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(MAX_HEAD_BYTES));
    assert_eq!(bad(long.as_bytes()), 431);
}

#[test]
fn a_password_is_never_shown() {
    let read = head("PUT /a HTTP/1.1\r\nAuthorization: Basic c291cmNlOmhhY2ttZQ==\r\n\r\n");
    assert_eq!(read.login.as_ref().map(|login| login.password.as_str()), Some("hackme"));
    assert!(!format!("{read:?}").contains("hackme"));
    for broken in ["Basic", "Basic !!!", "Basic c291cmNl", "Bearer c291cmNlOmhhY2ttZQ=="] {
        let text = format!("PUT /a HTTP/1.1\r\nAuthorization: {broken}\r\n\r\n");
        assert_eq!(self::head(&text).login, None, "{broken}");
    }
}

proptest! {
    /// No byte makes it panic, and a verdict stays whatever follows.
    #[test]
    fn a_verdict_is_final(
        tail in prop::collection::vec(any::<u8>(), 0..200),
        fields in "[ -~\r\n]{0,200}",
        after in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let bytes = [&b"PUT /a HTTP/1.1\r\n"[..], fields.as_bytes(), &tail].concat();
        let verdict = Head::parse(&bytes);
        if verdict != Parsed::Incomplete {
            prop_assert_eq!(Head::parse(&[bytes, after].concat()), verdict);
        }
    }
}
