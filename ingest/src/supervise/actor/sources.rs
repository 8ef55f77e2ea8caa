//! The room's source: coming, sending, going.

use std::sync::Arc;

use models::room::RecordingPolicy;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Actor, Attached, Error, Held, has_audio};
use crate::supervise::{Attach, Batch, FEED_BATCHES, Refused};

impl Actor {
    pub(super) async fn attach(&mut self, attach: Attach) {
        if let Some(old) = &mut self.source {
            let silent = old.heard.elapsed() > self.shared.limits.silent && old.batches.is_empty();
            if !old.batches.is_closed() && !silent {
                let _ = attach.reply.send(Err(Refused::Busy));
                return;
            }
            self.take_waiting().await;
            self.source_gone().await;
        }
        if self.room.policy == RecordingPolicy::Never {
            let _ = attach.reply.send(Err(Refused::NotRecordable));
            return;
        }
        let refused = match self.make_room().await {
            Ok(None) => None,
            Ok(Some(holder)) => Some(Refused::Elsewhere(Box::new(holder))),
            Err(Error::Row(source)) => {
                Some(Refused::Storage { step: "see who records the room", source })
            }
            // The disk is ours to wait for: what is sent is held back until it is well.
            Err(Error::Record(_) | Error::Elsewhere) => None,
        };
        let begins = self.open.is_none() && self.room.policy == RecordingPolicy::Auto;
        let refused = refused.or_else(|| {
            (begins && self.has_no_room()).then(|| {
                self.shared.place.meters.refused_for_space();
                Refused::NoRoomOnDisk
            })
        });
        if let Some(refused) = refused {
            let _ = attach.reply.send(Err(refused));
            return;
        }
        let (sender, batches) = mpsc::channel(FEED_BATCHES);
        if attach.reply.send(Ok(sender)).is_err() {
            return;
        }
        self.heard = Instant::now();
        let (info, heard, may_start) = (Arc::new(attach.source), self.heard, true);
        self.source = Some(Attached { info, batches, heard, may_start });
    }

    pub(super) async fn source_gone(&mut self) {
        if self.source.take().is_none() {
            return;
        }
        tracing::info!(room = self.room.slug, "source gone");
        self.left = Instant::now();
        self.flush().await;
        if let Some(open) = &mut self.open {
            open.source_left();
        }
    }

    pub(super) async fn hear(&mut self, mut batch: Batch) {
        let Some(source) = &mut self.source else { return };
        if let Some(info) = batch.source.take() {
            source.info = Arc::new(info);
        }
        if has_audio(&batch) {
            (self.heard, source.heard) = (Instant::now(), Instant::now());
        }
        if self.drop_for_space(&batch).await {
            return;
        }
        let Some(source) = &self.source else { return };
        let (source, may_start) = (Arc::clone(&source.info), source.may_start);
        self.held = Some(Held { batch, source, may_start });
        self.work().await;
    }

    /// Takes what the source has sent up to now.
    pub(super) async fn take_waiting(&mut self) {
        let waiting = self.source.as_ref().map_or(0, |source| source.batches.len());
        for _ in 0..waiting {
            // Where not even a recording could be made for an earlier batch, the rest stays.
            let Some(source) = self.source.as_mut().filter(|_| self.held.is_none()) else { return };
            let Ok(batch) = source.batches.try_recv() else { return };
            self.hear(batch).await;
        }
    }
}
