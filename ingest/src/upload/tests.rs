use super::*;

#[test]
fn waits_double_and_are_bounded() {
    let millis = [1, 2, 3, 7, 8, 99].map(|n| wait_after(n).as_millis());
    assert_eq!(millis, [250, 500, 1000, 16_000, 30_000, 30_000]);
}
