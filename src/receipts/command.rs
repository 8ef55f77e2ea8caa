//! `roomtape receipt`: keys, receipts that are missing, receipts as files, and their check without any
//! database.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use archive::receipt::sign::{self, Signer};
use archive::receipt::{self, Document};
use models::{Db, RecordingId};
use sha2::{Digest as _, Sha256};

use crate::cli::ReceiptAction;
use crate::config::{Config, Loaded};
use crate::{home, log};

/// Recordings looked through at once.
const PAGE: u32 = 200;

/// Does what is asked with receipts.
///
/// # Errors
/// What could not be made, written or shown to be true.
pub(crate) async fn run(loaded: Loaded, action: ReceiptAction) -> anyhow::Result<ExitCode> {
    match action {
        ReceiptAction::Keygen { file } => keygen(&file)?,
        ReceiptAction::Check { file, signature, key, audio } => {
            check(&file, signature.as_deref(), key.as_deref(), audio.as_deref())?;
        }
        ReceiptAction::Make { recordings, again } => {
            make(&loaded.validate()?, &recordings, again).await?;
        }
        ReceiptAction::Save { recording, to } => {
            save(&loaded.validate()?, recording, &to).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn keygen(file: &Path) -> anyhow::Result<()> {
    let private = Signer::generate()?;
    let signer = Signer::from_pem(&private)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file).with_context(|| format!("making {}", file.display()))?;
    out.write_all(private.as_bytes()).and_then(|()| out.sync_all()).context("writing the key")?;
    let public = beside(file, ".pub");
    std::fs::write(&public, signer.public_pem())
        .with_context(|| format!("writing {}", public.display()))?;
    log::print(&format!(
        "{} signs receipts: set receipt_key_file to it, and keep it to yourself\n{} is its public \
         half, for those who check: key {}",
        file.display(),
        public.display(),
        signer.name()
    ));
    Ok(())
}

/// Makes receipts that are wanted, and signs those that nobody has signed.
async fn make(config: &Config, recordings: &[RecordingId], again: bool) -> anyhow::Result<()> {
    let db = home::open(config).await?.db;
    let signer = config.receipt_key.as_ref();
    if recordings.is_empty() {
        ensure!(!again, "--again wants recordings to be named");
        return make_missing(&db, signer).await;
    }
    for id in recordings {
        if again {
            db.want_receipt(*id).await.with_context(|| id.to_string())?;
        }
        make_one(&db, signer, *id).await.with_context(|| id.to_string())?;
    }
    Ok(())
}

async fn make_missing(db: &Db, signer: Option<&Signer>) -> anyhow::Result<()> {
    loop {
        let wanted = db.unreceipted(PAGE).await.context("looking for what is missing")?;
        if wanted.is_empty() {
            break;
        }
        for id in wanted {
            make_one(db, signer, id).await.with_context(|| id.to_string())?;
        }
    }
    let Some(signer) = signer else { return Ok(()) };
    loop {
        let unsigned = db.unsigned(PAGE).await.context("looking for what is not signed")?;
        if unsigned.is_empty() {
            return Ok(());
        }
        for (id, number) in unsigned {
            sign_one(db, signer, id, number).await.with_context(|| id.to_string())?;
        }
    }
}

async fn make_one(db: &Db, signer: Option<&Signer>, id: RecordingId) -> anyhow::Result<()> {
    if let Some(made) = super::make(db, signer, id).await? {
        let root = receipt::hex(&made.root);
        log::print(&format!("{id}  receipt {}  {} chunks  root {root}", made.number, made.chunks));
        return Ok(());
    }
    let last = db.receipt(id, None).await.context("reading its receipt")?;
    match signer.filter(|_| last.signature.is_none()) {
        Some(signer) => sign_one(db, signer, id, last.number).await,
        None => {
            log::print(&format!("{id}  receipt {} tells what is there", last.number));
            Ok(())
        }
    }
}

async fn sign_one(db: &Db, signer: &Signer, id: RecordingId, number: u32) -> anyhow::Result<()> {
    let receipt = db.receipt(id, Some(number)).await.context("reading the receipt")?;
    let is_whole = receipt::digest(&receipt.body) == receipt.sha256;
    ensure!(is_whole, "receipt {number} is not what it was when it was made: not signed");
    db.sign_receipt(id, number, &signer.sign(&receipt.body)).await.context("signing it")?;
    log::print(&format!("{id}  receipt {number} signed"));
    Ok(())
}

async fn save(config: &Config, id: RecordingId, to: &Path) -> anyhow::Result<()> {
    let db = home::open(config).await?.db;
    let receipt = db.receipt(id, None).await.context("reading the receipt")?;
    let file = to.join(format!("{id}.receipt.json"));
    std::fs::write(&file, &receipt.body).with_context(|| format!("writing {}", file.display()))?;
    log::print(&file.display().to_string());
    if let Some(signature) = sign::File::of(&receipt) {
        let file = beside(&file, ".sig");
        std::fs::write(&file, serde_json::to_string(&signature)?)
            .with_context(|| format!("writing {}", file.display()))?;
        log::print(&file.display().to_string());
    }
    Ok(())
}

/// Checks a receipt, its signature, and the sound.
fn check(
    file: &Path,
    signature: Option<&Path>,
    key: Option<&str>,
    audio: Option<&Path>,
) -> anyhow::Result<()> {
    let body = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let document = Document::read(&body).with_context(|| file.display().to_string())?;
    let signer = signed_by(file, &body, signature)?;
    if let Some(key) = key {
        let key = sign::public_key(&text_of(key)?).context("--key")?;
        match &signer {
            None => bail!("nobody has signed {}", file.display()),
            Some(signer) => ensure!(*signer == key, "it is signed, but by another key"),
        }
    }
    log::print(&summary(&document, signer.as_deref(), key.is_some()));
    if let Some(audio) = audio {
        check_audio(audio, &document).with_context(|| audio.display().to_string())?;
        log::print(&format!("{} has every chunk as it was recorded", audio.display()));
    }
    Ok(())
}

/// The public key of whoever signed; `None` where there is no signature.
fn signed_by(file: &Path, body: &[u8], given: Option<&Path>) -> anyhow::Result<Option<String>> {
    let path = given.map_or_else(|| beside(file, ".sig"), Path::to_owned);
    if given.is_none() && !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let signature: sign::File =
        serde_json::from_slice(&text).with_context(|| format!("{}", path.display()))?;
    let signature = signature.signature();
    let is_good = sign::is_good(&signature, body);
    ensure!(is_good, "{} is not a signature of {}", path.display(), file.display());
    Ok(Some(signature.public_key))
}

fn summary(document: &Document, signer: Option<&str>, is_pinned: bool) -> String {
    let Document { recording, coverage, .. } = document;
    let seconds = |ticks: u64| models::Ticks(ticks).to_string();
    let mut lines = vec![
        format!("receipt {} of {} ({})", document.number, recording.id, recording.title),
        format!("{} chunks, root {}", document.chunks.len(), document.root),
        format!("{} kept", seconds(coverage.kept)),
    ];
    for (cause, ticks) in &coverage.lost {
        lines.push(format!("{} lost: {cause}", seconds(*ticks)));
    }
    lines.push(match signer {
        Some(key) if is_pinned => format!("signed by {}", sign::name_of(key).unwrap_or_default()),
        Some(key) => format!(
            "signed by {}: --key tells whether that is who you think",
            sign::name_of(key).unwrap_or_default()
        ),
        None => "not signed".into(),
    });
    lines.join("\n")
}

/// Compares a downloaded MP4, which ends with every chunk one after the other, with a receipt.
fn check_audio(path: &Path, document: &Document) -> anyhow::Result<()> {
    let mut file = File::open(path).context("opening it")?;
    let size = file.metadata().context("asking its size")?.len();
    let header = size.checked_sub(document.audio.bytes);
    let header = header.context("it is shorter than what was recorded")?;
    file.seek(SeekFrom::Start(header)).context("reading it")?;
    let mut bytes = Vec::new();
    for chunk in &document.chunks {
        bytes.clear();
        (&mut file).take(chunk.bytes).read_to_end(&mut bytes).context("reading it")?;
        let found = receipt::hex(&Sha256::digest(&bytes));
        ensure!(found == chunk.sha256, "chunk {} is not what was recorded", chunk.seq);
    }
    Ok(())
}

/// What a key is given as: itself, or a file that holds it.
fn text_of(key: &str) -> anyhow::Result<String> {
    if sign::public_key(key).is_ok() {
        return Ok(key.to_owned());
    }
    std::fs::read_to_string(key).with_context(|| format!("reading the key {key}"))
}

/// `file` with more at the end of its name.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
