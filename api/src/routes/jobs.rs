//! Jobs: what the server works on, for the operator.

use axum::Json as Out;
use axum::extract::State;
use models::job::{Kind, State as Stage};
use models::{BatchId, Job, JobId, RecordingId, WallMicros, db, job};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::auth::Operator;
use crate::error::{Code, Error, sentence};
use crate::extract::{Path, Query};
use crate::problem::answers;
use crate::state::App;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read))
        .routes(routes!(retry))
        .routes(routes!(cancel))
}

/// A job as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub struct JobView {
    id: JobId,
    kind: Kind,
    recording_id: RecordingId,
    /// For whom: the room's host, or the room's short name where nobody is named. Hosts take turns.
    host: String,
    state: Stage,
    /// Name of the weights that it has to be done with; `null`: any.
    weights: Option<String>,
    /// The batch that it is part of.
    batch_id: Option<BatchId>,
    /// Its batch is paused: nobody takes it up.
    held: bool,
    /// Higher goes first.
    priority: i16,
    /// How often it has been claimed without getting any further.
    attempt: u16,
    /// Where it is ready: not claimed before this time.
    run_after: String,
    /// Where it is running: who works on it.
    worker: Option<String>,
    /// Media time done so far.
    done_ms: u64,
    /// Media time there is to do, as far as known.
    total_ms: u64,
    /// What went wrong last.
    error: Option<String>,
    /// What it took so far; `null` where nobody has told.
    cost: Option<CostView>,
    created_at: String,
    updated_at: String,
}

/// What work took. Attempts whose worker was lost are not in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cost)]
pub struct CostView {
    /// Time that went by: that of jobs which were done beside each other counts for each of them.
    wall_ms: u64,
    /// Media time that was worked through in it.
    audio_ms: u64,
    /// Windows that were decoded.
    windows: u32,
    /// Threads of the worker, all its jobs together.
    threads: u32,
    /// What it was computed on, such as `cpu`.
    device: String,
}

impl From<job::Cost> for CostView {
    fn from(cost: job::Cost) -> Self {
        Self {
            wall_ms: cost.wall_ms,
            audio_ms: cost.audio.as_millis(),
            windows: cost.windows,
            threads: cost.threads,
            device: cost.device,
        }
    }
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            kind: job.kind,
            recording_id: job.recording_id,
            host: job.host,
            state: job.state,
            weights: job.weights.map(|weights| weights.name),
            batch_id: job.batch_id,
            held: job.held,
            priority: job.priority,
            attempt: job.attempt,
            run_after: job.run_after.to_rfc3339(),
            worker: job.lease.map(|(worker, _)| worker),
            done_ms: job.done.as_millis(),
            total_ms: job.total.as_millis(),
            error: job.error,
            cost: job.cost.map(CostView::from),
            created_at: job.created_at.to_rfc3339(),
            updated_at: job.updated_at.to_rfc3339(),
        }
    }
}

/// Which jobs are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Search {
    state: Option<Stage>,
    kind: Option<Kind>,
    /// How many, 1 to 200; 50 where it is left out.
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<JobId>,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jobs {
    items: Vec<JobView>,
    /// Cursor of the next page; `null` on the last.
    next: Option<JobId>,
}

/// Lists jobs, newest first.
#[utoipa::path(
    get, path = "/api/jobs", operation_id = "listJobs", tag = "jobs", security((), ("operator" = [])),
    params(Search),
    responses(
        (status = 200, description = "A page of them.", body = Jobs),
        answers::Malformed, answers::Unauthorized, answers::Failed
    )
)]
async fn list(
    State(app): State<App>,
    _: Operator,
    Query(search): Query<Search>,
) -> Result<Out<Jobs>, Error> {
    let limit = super::limit(search.limit)?;
    let filter = db::JobFilter { state: search.state, kind: search.kind };
    let mut found = app.db.jobs(filter, search.cursor, limit + 1).await?;
    let next = super::next(&mut found, limit, |job| job.id);
    Ok(Out(Jobs { items: found.into_iter().map(JobView::from).collect(), next }))
}

/// Reads a job.
#[utoipa::path(
    get, path = "/api/jobs/{id}", operation_id = "readJob", tag = "jobs", security((), ("operator" = [])),
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job.", body = JobView),
        answers::Malformed, answers::Unauthorized, answers::Missing, answers::Failed
    )
)]
async fn read(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<JobId>,
) -> Result<Out<JobView>, Error> {
    Ok(Out(app.db.job(id).await.map_err(refused)?.into()))
}

/// Has a dead or cancelled job done after all, or a waiting one now. What it had done stays done.
#[utoipa::path(
    post, path = "/api/jobs/{id}/retry", operation_id = "retryJob", tag = "jobs",
    security((), ("operator" = [])),
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job, ready now.", body = JobView),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::Failed
    )
)]
async fn retry(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<JobId>,
) -> Result<Out<JobView>, Error> {
    let job = app.db.retry_job(id, WallMicros::now()).await.map_err(refused)?;
    tracing::info!(job = %id, "job to be tried again by request");
    Ok(Out(job.into()))
}

/// Takes a ready or running job back: its worker writes nothing more. One that is cancelled stays
/// so.
#[utoipa::path(
    post, path = "/api/jobs/{id}/cancel", operation_id = "cancelJob", tag = "jobs",
    security((), ("operator" = [])),
    params(("id" = JobId, Path, description = "The job.")),
    responses(
        (status = 200, description = "The job, cancelled.", body = JobView),
        answers::Malformed, answers::Unauthorized, answers::Forbidden, answers::Missing,
        answers::Conflict, answers::Failed
    )
)]
async fn cancel(
    State(app): State<App>,
    _: Operator,
    Path(id): Path<JobId>,
) -> Result<Out<JobView>, Error> {
    let job = app.db.cancel_job(id, WallMicros::now()).await.map_err(refused)?;
    tracing::info!(job = %id, "job cancelled by request");
    Ok(Out(job.into()))
}

fn refused(error: db::Error) -> Error {
    match error {
        db::Error::NotFound { what: "job" } => {
            Error::new(Code::UnknownJob, "No job has this identifier.")
        }
        db::Error::Conflict { what } => Error::new(Code::JobState, sentence(&what)),
        other => other.into(),
    }
}
