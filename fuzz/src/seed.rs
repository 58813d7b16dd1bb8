//! What a target begins with lies beside what it has found.
//! Must not be large, nor be committed: it is made anew each time.

use std::fs;

/// Writes a seed of a target.
pub fn write(target: &str, name: usize, bytes: &[u8]) {
    let folder = format!("{}/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    fs::create_dir_all(&folder).expect("there is room");
    fs::write(format!("{folder}/seed-{name:04}"), bytes).expect("there is room");
}
