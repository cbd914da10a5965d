//! Makes cargo notice a new migration: the macro that embeds them can not.
fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
