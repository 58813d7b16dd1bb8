//! Reads the log on a thread of its own while another one takes its ops back.
//! Must not know what becomes of an op.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use photon_state::Op;
use tracing::info;

use super::error::{At as _, LogError};
use super::folder::Folder;
use super::recover::{self, Batch, Recovered, Tail};

/// Batches that were read and wait to be taken; at it the thread that reads waits.
const BATCHES_MAX: usize = 8;
/// How often it is told how far a long log is read.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Reads the whole log, gives each op to `replay`, and cuts off a torn tail. Ops are made into what
/// `replay` takes by the thread that reads.
pub(super) fn recover<T: From<Arc<Op>> + Send>(
    folder: &Folder,
    mut replay: impl FnMut(T),
) -> Result<(Tail, Recovered), LogError> {
    thread::scope(|scope| {
        let (batches, taken) = sync_channel::<Batch<T>>(BATCHES_MAX);
        let reader = thread::Builder::new()
            .name("photon-read".into())
            .spawn_scoped(scope, move || recover::read(folder, &batches))
            .at("start a thread to read", &folder.log)?;
        let (mut told, mut count) = (Instant::now(), 0_u64);
        for Batch { ops, read: (read, all) } in taken {
            count += ops.len() as u64;
            ops.into_iter().for_each(&mut replay);
            if TOLD_EVERY <= told.elapsed() {
                told = Instant::now();
                info!(percent = 100 * read / all.max(1), ops = count, "reading the log");
            }
        }
        reader.join().map_err(|_| LogError::Died)?
    })
}
