//! Builds the crate anew when a page changes: the macro that embeds them does not say so itself.

fn main() {
    println!("cargo:rerun-if-changed=web");
}
