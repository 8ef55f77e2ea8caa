//! The endpoints, one file a group.

pub mod batches;
pub mod control;
pub mod edits;
pub mod health;
pub mod jobs;
pub mod media;
pub mod receipts;
pub mod recordings;
pub mod rooms;
pub mod transcripts;
pub mod versions;

pub(crate) mod docs;
pub(crate) mod pages;

use utoipa_axum::router::OpenApiRouter;

use crate::error::{Code, Error};
use crate::state::App;

/// Every documented endpoint.
pub(crate) fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(rooms::routes())
        .merge(recordings::routes())
        .merge(control::routes())
        .merge(media::routes())
        .merge(receipts::routes())
        .merge(transcripts::routes())
        .merge(versions::routes())
        .merge(edits::routes())
        .merge(jobs::routes())
        .merge(batches::routes())
        .merge(docs::routes())
}

/// Items on a page where nothing else is asked for.
const LIMIT_DEFAULT: u32 = 50;
/// Most items on a page.
const LIMIT_MAX: u32 = 200;

/// Checks how many items are asked for.
fn limit(asked: Option<u32>) -> Result<u32, Error> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => {
            let detail = format!("limit must be 1 to {LIMIT_MAX}; this one is {other}");
            Err(Error::new(Code::BadQuery, detail))
        }
    }
}

/// The cursor of the next page: the last item's, where one more than `limit` was found; drops that
/// one.
fn next<T, C>(items: &mut Vec<T>, limit: u32, cursor: impl Fn(&T) -> C) -> Option<C> {
    let limit = limit as usize;
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(cursor)
}
