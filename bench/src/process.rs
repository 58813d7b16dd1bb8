//! Processes that are measured: their time, their memory, their end.
//! Must not know what they do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// A child that is told to end, and awaited, when it is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    child: Child,
    /// What tells it to end in good order.
    ends_on: Signal,
}

impl Kept {
    /// How long a child may take to end, in steps; then it is killed.
    const PATIENCE_STEPS_MAX: u32 = 200;
    const PATIENCE_STEP: Duration = Duration::from_millis(50);

    /// Starts a program.
    pub(crate) fn start(command: &mut Command, ends_on: Signal) -> anyhow::Result<Self> {
        let child = command.spawn();
        let child = child.with_context(|| format!("failed to start `{command:?}`"))?;
        Ok(Self { child, ends_on })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes what the child prints.
    pub(crate) fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Fails if the child has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("process {} ended early: {status}", self.id()),
            None => Ok(()),
        }
    }
}

impl Kept {
    /// Tells the child to end, and waits until it has.
    pub(crate) fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), signal)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = kill_process(Pid::from_child(&self.child), self.ends_on);
        for _ in 0..Self::PATIENCE_STEPS_MAX {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Self::PATIENCE_STEP);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One process, from `/proc`.
#[derive(Clone, Copy, Debug)]
struct Stat {
    parent: u32,
    /// Ticks of its own, and of children that it has awaited.
    ticks: u64,
}

/// Reads a process; `None` if it has ended.
fn stat(id: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may hold anything; what follows it are numbers, from the third field.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)? + field(16)? + field(17)?;
    Some(Stat { parent: u32::try_from(field(4)?).ok()?, ticks })
}

/// Returns a process and all that descend from it.
pub(crate) fn tree(root: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let parents: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, stat(id)?.parent))).collect();
    let mut found = BTreeSet::from([root]);
    loop {
        let more = parents.iter().filter(|(_, parent)| found.contains(parent)).map(|(id, _)| *id);
        let more: Vec<u32> = more.filter(|id| !found.contains(id)).collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Returns the processor time that a process and its descendants have used.
pub(crate) fn cpu(root: u32) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second();
    let ticks: u64 = tree(root).into_iter().filter_map(stat).map(|it| it.ticks).sum();
    Duration::from_secs_f64(ticks as f64 / per_second as f64)
}

/// Returns the processor time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the processor time of this program.
pub(crate) fn own_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// What is resident.
    pub(crate) resident: f64,
    /// The most that ever was.
    pub(crate) peak: f64,
}

/// Reads the memory of a process.
pub(crate) fn memory(id: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{id}/status");
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("failed to read `{path}`"))?;
    let mib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let read = || Some(Memory { resident: mib("VmRSS:")?, peak: mib("VmHWM:")? });
    read().with_context(|| format!("`{path}` says nothing about memory"))
}

/// Returns how many bytes of memory are free on this machine; 0 when it does not say.
fn free_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|it| it.strip_prefix("MemAvailable:"));
    let kib = kib.and_then(|it| it.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Uses memory, half of what is free at most, and gives it back; returns how many GiB.
pub(crate) fn warm_memory(gib: u64) -> u64 {
    let gib = gib.min(free_memory() >> 31);
    let bytes = usize::try_from(gib << 30).expect("it fits this machine");
    std::hint::black_box(vec![1_u8; bytes]); // Zeros would be had without any use.
    gib
}

/// Returns the words that a process was started with.
pub(crate) fn words(id: u32) -> Vec<String> {
    let bytes = std::fs::read(Path::new("/proc").join(id.to_string()).join("cmdline"));
    let bytes = bytes.unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
