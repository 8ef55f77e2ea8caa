//! What was found, for people.

use crate::support::rig::Checked;

/// Prints what the comparison found.
pub(crate) fn print(checked: &Checked) {
    let most = |of: fn(&crate::support::check::Found) -> u64| {
        checked.rooms.iter().map(|room| of(&room.found)).max().unwrap_or(0) as f64 / 48.0
    };
    let hours: f64 = checked.rooms.iter().map(|room| room.length.as_secs_f64() / 3600.0).sum();
    let gaps: usize = checked.rooms.iter().map(|room| room.found.gaps).sum();
    println!("{} rooms, {hours:.2} hours of sound", checked.rooms.len());
    println!("{} packets kept, each as it was sent", checked.kept());
    println!("{gaps} gaps declared; the worst is {:.2} ms off", most(|found| found.gap_off));
    println!("media time is {:.2} ms off at worst", most(|found| found.media_off));
    match &checked.verified {
        None => println!("verify: this program has no such command"),
        Some(Ok(said)) => println!("verify: {}", said.lines().last().unwrap_or("clean")),
        Some(Err(_)) => {}
    }
    let lost = checked.rooms.iter().flat_map(|room| &room.found.lost);
    let mut lost: Vec<u64> = lost.map(|lost| lost.as_millis()).collect();
    lost.sort_unstable();
    if let Some(most) = lost.last() {
        let mean = lost.iter().sum::<u64>() as f64 / lost.len() as f64;
        println!("lost of what had been received, in ms, by {} times a room was cut:", lost.len());
        println!("{:>8} {:>6} {:>6} {:>6} {:>6} {:>6}", "mean", "p10", "p50", "p90", "p99", "most");
        let at = |permille: usize| lost[(lost.len() - 1) * permille / 1000];
        let [p10, p50, p90, p99] = [100, 500, 900, 990].map(at);
        println!("{mean:>8.1} {p10:>6} {p50:>6} {p90:>6} {p99:>6} {most:>6}");
    }
}
