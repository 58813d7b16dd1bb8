//! The machine that figures were measured on, without which they mean nothing.
//! Must not name it: what it is, not which.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Value, json};

/// A machine at a time.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    date: String,
    processor: String,
    cores: usize,
    memory_gib: u64,
    system: String,
    /// The load average over the last minute, before anything was measured.
    load: String,
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let field = |text: &str, name: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(separator)?.1.trim().trim_matches('"').to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal", ':');
        let memory_kib: u64 =
            memory.and_then(|it| it.split(' ').next()?.parse().ok()).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            date: chrono::DateTime::<chrono::Utc>::from(SystemTime::now())
                .format("%Y-%m-%d %H:%M UTC")
                .to_string(),
            processor: field(&read("/proc/cpuinfo"), "model name", ':').unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (memory_kib as f64 / f64::from(1 << 20)).round() as u64,
            system: field(&read("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or_else(unknown),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "date": self.date, "processor": self.processor, "cores": self.cores,
            "memory_gib": self.memory_gib, "system": self.system, "load_before": self.load,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, processor, cores, memory_gib, system, load } = self;
        write!(f, "{date}: {cores} cores of {processor}, {memory_gib} GiB, {system}, load {load}")
    }
}
