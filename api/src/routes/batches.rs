//! Batches: recordings transcribed again in bulk, for the operator.

use axum::Json as Out;
use axum::extract::State;
use axum::http::StatusCode;
use models::batch::{NewBatch, Outlook, Plan, Progress, Selection, State as Stage};
use models::job::{Class, Weights};
use models::{Batch, BatchId, WallMicros, db};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Operator;
use crate::error::{Code, Error, sentence};
use crate::extract::{Json, Path, Query};
use crate::problem::answers;
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(estimate))
        .routes(routes!(read))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// A batch as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView {
    id: BatchId,
    /// Which recordings, in the words of whoever asked.
    r#where: String,
    weights: String,
    /// Lower-case hex.
    weights_sha256: String,
    /// That of its jobs: higher goes first.
    priority: i16,
    /// Whether people are shown the new words once they are complete.
    promote: bool,
    state: Stage,
    progress: Progress,
    created_at: String,
    /// When it was last paused, resumed or cancelled.
    updated_at: String,
}

impl From<Batch> for BatchView {
    fn from(batch: Batch) -> Self {
        Self {
            id: batch.id,
            r#where: batch.filter,
            weights: batch.weights.name,
            weights_sha256: batch.weights.sha256,
            priority: batch.priority,
            promote: batch.promote,
            state: batch.state,
            progress: batch.progress,
            created_at: batch.created_at.to_rfc3339(),
            updated_at: batch.updated_at.to_rfc3339(),
        }
    }
}

/// How urgent a batch is.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BatchPriority)]
pub enum Priority {
    /// Behind everything else.
    #[default]
    Batch,
    /// Like a recording that has just ended.
    Fresh,
}

/// What is to be transcribed again, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Which recordings: terms that all have to hold, with commas between them: `all`,
    /// `id=RECORDING`, `room=SLUG`, `from=2026-01-31`, `to=2026-01-31`, `weights=base.en`,
    /// `weights!=base.en`, `version<2`, `longer=10m`, `shorter=1h30m`.
    #[schema(example = "weights!=small.en,longer=1m")]
    r#where: String,
    /// Name of weights that some worker has, or has had.
    weights: String,
    /// How urgent; `batch` where it is left out.
    #[serde(default)]
    priority: Priority,
    /// `false`: what people are shown stays, so that the new words can be compared first.
    #[serde(default = "yes")]
    promote: bool,
}

const fn yes() -> bool {
    true
}

/// What there is to do, and how long that takes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Estimate {
    /// Recordings to be transcribed.
    recordings: u64,
    /// Their audio.
    audio_ms: u64,
    /// Recordings that have been transcribed just so.
    done: u64,
    /// Recordings for which that waits or is being done.
    open: u64,
    /// Running workers that have the weights.
    workers: u32,
    /// Recordings that they work on at once.
    places: u32,
    /// How much faster than it plays a recording is done in one place; `null`: not known.
    speed: Option<f64>,
    /// With which weights that was: others, where nothing is known of these.
    speed_of: Option<String>,
    /// How long all of it takes, in one place where there is none; `null`: not known.
    takes_ms: Option<u64>,
}

impl Estimate {
    fn new(plan: &Plan, outlook: &Outlook) -> Self {
        let audio_ms = plan.audio.as_millis();
        Self {
            recordings: plan.wanted.len() as u64,
            audio_ms,
            done: plan.done,
            open: plan.open,
            workers: outlook.workers,
            places: outlook.places,
            speed: outlook.pace.as_ref().map(models::batch::Pace::factor),
            speed_of: outlook.pace.as_ref().map(|pace| pace.weights.clone()),
            takes_ms: outlook.time_ms(audio_ms),
        }
    }
}

/// A batch that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct Made {
    /// `null`: there is nothing to do, so that none was made.
    batch: Option<BatchView>,
    estimate: Estimate,
}

/// Which page is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Search {
    /// How many, 1 to 200; 50 where it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<BatchId>,
}

/// A page of batches, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Batches {
    items: Vec<BatchView>,
    /// Cursor of the next page; `null` on the last.
    next: Option<BatchId>,
}

/// Lists batches, newest first.
#[utoipa::path(
    get, path = "/api/batches", operation_id = "listBatches", tag = "jobs",
    security((), ("operator" = [])), params(Search),
    responses(
        (status = 200, description = "A page of them.", body = Batches),
        answers::Malformed, answers::Unauthorized, answers::Failed
    )
)]
async fn list(
    State(app): State<App>,
    _: Operator,
    Query(search): Query<Search>,
) -> Result<Out<Batches>, Error> {
    let limit = super::limit(search.limit)?;
    let mut found = app.db.batches(search.cursor, limit + 1).await?;
    let next = super::next(&mut found, limit, |batch| batch.id);
    Ok(Out(Batches { items: found.into_iter().map(BatchView::from).collect(), next }))
}

/// Has recordings transcribed again. What has been done with these weights, or waits for that, is
/// left out: asked twice, nothing is done twice.
#[utoipa::path(
    post, path = "/api/batches", operation_id = "createBatch", tag = "jobs",
    security((), ("operator" = [])), request_body = Wish,
    responses(
        (status = 201, description = "It is queued.", body = Made),
        (status = 200, description = "There is nothing to do.", body = Made),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::TooLarge,
        answers::WrongContentType, answers::Invalid, answers::Failed
    )
)]
async fn create(
    State(app): State<App>,
    _: Operator,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Out<Made>), Error> {
    let (selection, weights) = understood(&app, &wish).await?;
    let now = WallMicros::now();
    let (plan, estimate) = planned(&app, &selection, &weights, now).await?;
    if plan.wanted.is_empty() {
        return Ok((StatusCode::OK, Out(Made { batch: None, estimate })));
    }
    let class = match wish.priority {
        Priority::Batch => Class::Batch,
        Priority::Fresh => Class::Fresh,
    };
    let filter = selection.to_string();
    let new = NewBatch { filter, weights, class, promote: wish.promote };
    let (batch, rest) = app.db.create_batch(&new, &plan.wanted, now).await.map_err(refused)?;
    tracing::info!(batch = %batch.id, recordings = plan.wanted.len(), "batch made by request");
    let (db, id, rest) = (app.db.clone(), batch.id, rest.to_vec());
    // Ten thousand jobs take longer to make than anybody wants to wait for an answer.
    tokio::spawn(async move {
        if let Err(error) = db.add_to_batch(id, &rest, now).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(batch = %id, error, "not all of a batch was queued; ask for it again");
        }
    });
    Ok((StatusCode::CREATED, Out(Made { batch: Some(batch.into()), estimate })))
}

/// Tells what a batch would do, and how long that takes. Changes nothing.
#[utoipa::path(
    post, path = "/api/batches/estimate", operation_id = "estimateBatch", tag = "jobs",
    security((), ("operator" = [])), request_body = Wish,
    responses(
        (status = 200, description = "What there is to do.", body = Estimate),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::TooLarge,
        answers::WrongContentType, answers::Invalid, answers::Failed
    )
)]
async fn estimate(
    State(app): State<App>,
    _: Operator,
    Json(wish): Json<Wish>,
) -> Result<Out<Estimate>, Error> {
    let (selection, weights) = understood(&app, &wish).await?;
    let (_, estimate) = planned(&app, &selection, &weights, WallMicros::now()).await?;
    Ok(Out(estimate))
}

/// Reads a batch.
#[utoipa::path(
    get, path = "/api/batches/{id}", operation_id = "readBatch", tag = "jobs",
    security((), ("operator" = [])),
    params(("id" = BatchId, Path, description = "The batch.")),
    responses(
        (status = 200, description = "The batch.", body = BatchView),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn read(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<BatchId>,
) -> Result<Out<BatchView>, Error> {
    Ok(Out(app.db.batch(id).await.map_err(refused)?.into()))
}

macro_rules! change {
    ($name:ident, $id:literal, $path:literal, $doc:literal, $after:literal) => {
        #[doc = $doc]
        #[utoipa::path(
            post, path = $path, operation_id = $id, tag = "jobs", security((), ("operator" = [])),
            params(("id" = BatchId, Path, description = "The batch.")),
            responses(
                (status = 200, description = $after, body = BatchView),
                answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
                answers::Conflict, answers::Failed
            )
        )]
        async fn $name(
            State(app): State<App>,
            _: Operator,
            Path(id): Path<BatchId>,
        ) -> Result<Out<BatchView>, Error> {
            let now = WallMicros::now();
            let changed = change!(@do $name, app.db, id, now).await.map_err(refused)?;
            tracing::info!(batch = %id, change = stringify!($name), "batch changed by request");
            Ok(Out(changed.into()))
        }
    };
    (@do pause, $db:expr, $id:expr, $now:expr) => { $db.pause_batch($id, $now) };
    (@do resume, $db:expr, $id:expr, $now:expr) => { $db.resume_batch($id, $now) };
    (@do cancel, $db:expr, $id:expr, $now:expr) => { $db.cancel_batch($id, $now) };
}

change!(
    pause,
    "pauseBatch",
    "/api/batches/{id}/pause",
    "Lets a batch rest: its recordings wait, and those that are worked on are given back.",
    "The batch, paused."
);
change!(
    resume,
    "resumeBatch",
    "/api/batches/{id}/resume",
    "Goes on with a batch that rests.",
    "The batch, running."
);
change!(
    cancel,
    "cancelBatch",
    "/api/batches/{id}/cancel",
    "Takes a batch back: what is done stays, nothing more is done.",
    "The batch, cancelled."
);

/// Which recordings and which weights are meant.
async fn understood(app: &App, wish: &Wish) -> Result<(Selection, Weights), Error> {
    let selection = wish.r#where.parse::<Selection>();
    let selection = selection.map_err(|unclear| Error::invalid(format!("where: {unclear}.")))?;
    let workers = app.db.transcribers().await?;
    let mut known = workers.into_iter().map(|worker| worker.made_by);
    let found = known.find(|made_by| made_by.weights == wish.weights).ok_or_else(|| {
        Error::invalid(format!("weights: no worker has had any called {:?}.", wish.weights))
    })?;
    Ok((selection, Weights { name: found.weights, sha256: found.weights_sha256 }))
}

async fn planned(
    app: &App,
    selection: &Selection,
    weights: &Weights,
    now: WallMicros,
) -> Result<(Plan, Estimate), Error> {
    let plan = app.db.plan(selection, weights, now).await.map_err(|error| match error {
        db::Error::NotFound { what } => Error::invalid(format!("where: there is no such {what}.")),
        db::Error::Conflict { what } => Error::invalid(format!("where: {what}.")),
        other => other.into(),
    })?;
    let outlook = app.db.outlook(&weights.sha256, now).await?;
    let estimate = Estimate::new(&plan, &outlook);
    Ok((plan, estimate))
}

fn refused(error: db::Error) -> Error {
    match error {
        db::Error::NotFound { what: "batch" } => {
            Error::new(Code::UnknownBatch, "No batch has this identifier.")
        }
        db::Error::Conflict { what } => Error::new(Code::BatchState, sentence(&what)),
        other => other.into(),
    }
}
