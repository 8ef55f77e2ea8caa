//! The rooms that recordings are moved with: known by their identifier, named once only.

use std::collections::HashSet;

use anyhow::{Context as _, bail};
use models::room::SLUG_MAX_BYTES;
use models::{Db, Recording, Room};

use crate::log;

/// A room that is to be made at the destination.
pub(super) struct Planned {
    room: Room,
    /// What is not as it was, for people.
    notes: Vec<String>,
}

/// The rooms of `recordings` that the destination does not have. An RTP port that is another room's
/// there is left out; a short name that is another room's there is changed, where `rename` says so.
///
/// # Errors
/// Short names that are taken, all of them in one sentence.
pub(super) async fn plan(
    from: &Db,
    to: &Db,
    recordings: &[Recording],
    rename: bool,
) -> anyhow::Result<Vec<Planned>> {
    let needed: HashSet<_> = recordings.iter().map(|recording| recording.room_id).collect();
    let rooms = from.rooms().await.context("listing the rooms to move")?;
    let there = to.rooms().await.context("listing the rooms at the destination")?;
    let known: HashSet<_> = there.iter().map(|room| room.id).collect();
    let mut slugs: HashSet<_> = there.iter().map(|room| room.slug.clone()).collect();
    let mut ports: HashSet<_> = there.iter().filter_map(|room| room.rtp_port).collect();

    let (mut planned, mut taken) = (Vec::new(), Vec::new());
    for mut room in rooms {
        if !needed.contains(&room.id) || known.contains(&room.id) {
            continue;
        }
        let mut notes = Vec::new();
        if slugs.contains(&room.slug) {
            let free = another(&room.slug, &slugs);
            notes.push(format!("named {free}, because another room is named {}", room.slug));
            taken.push(std::mem::replace(&mut room.slug, free));
        }
        if let Some(port) = room.rtp_port.take_if(|port| ports.contains(port)) {
            notes.push(format!("without its RTP port {port}, which another room has"));
        }
        slugs.insert(room.slug.clone());
        ports.extend(room.rtp_port);
        planned.push(Planned { room, notes });
    }
    if !taken.is_empty() && !rename {
        bail!(
            "other rooms at the destination have the short names {}: nothing was moved; --rename \
             gives those that are moved other ones",
            taken.join(", ")
        );
    }
    Ok(planned)
}

/// The first of `slug-2`, `slug-3`, … that is free.
fn another(slug: &str, taken: &HashSet<String>) -> String {
    let numbered = (2..).map(|n| {
        let end = format!("-{n}");
        let kept = slug.len().min(SLUG_MAX_BYTES - end.len());
        // A short name is ASCII, and must not have a dash before the number's.
        format!("{}{end}", slug[..kept].trim_end_matches('-'))
    });
    numbered.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

/// Makes the rooms and says which.
///
/// # Errors
/// The destination's database fails.
pub(super) async fn carry_out(to: &Db, planned: &[Planned], dry: bool) -> anyhow::Result<()> {
    for Planned { room, notes } in planned {
        if !dry {
            let made = to.take_room_in(room).await;
            made.with_context(|| format!("making the room {} at the destination", room.slug))?;
        }
        let mut line = format!("{:<10}  {}  {}", "room", room.slug, room.title);
        for note in notes {
            line.push_str("  — ");
            line.push_str(note);
        }
        log::print(&line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_name_is_free_and_legal() {
        let taken = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(another("hall", &taken(&["hall"])), "hall-2");
        assert_eq!(another("hall", &taken(&["hall", "hall-2"])), "hall-3");
        let long = format!("{}-a", "x".repeat(SLUG_MAX_BYTES - 2));
        let shorter = another(&long, &taken(&[&long]));
        assert_eq!(shorter, format!("{}-2", "x".repeat(SLUG_MAX_BYTES - 2)));
    }
}
