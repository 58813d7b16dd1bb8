//! Many regions on an imagined net, disk and clock, from one seed; and the promises, checked.
//! Must not link the node or the edge, nor use a clock, a thread or chance of its own.
//!
//! ```no_run
//! use photon_sim::{Profile, run};
//!
//! match run(7, &Profile::default()) {
//!     Ok(report) => println!("{report}"),
//!     Err(failure) => println!("{failure}"),
//! }
//! ```

mod answerers;
mod asked;
mod audit;
mod clock;
mod digest;
mod disk;
mod faults;
mod gathering;
mod glance;
mod hearing;
mod histories;
mod job;
mod leaves;
mod lin;
mod links;
mod lives;
mod losses;
mod mishaps;
mod moved;
mod movers;
mod net;
mod operator;
mod outages;
mod planet;
mod post;
mod promise;
mod promises;
mod queue;
mod readers;
mod records;
mod redrives;
mod run;
mod schedule;
mod scheduled;
mod scribes;
mod site;
mod stalls;
mod takeovers;
mod tasklog;
mod tellers;
mod timing;
mod topics;
mod trace;
mod turned_away;
mod verdicts;
mod worker;
mod workload;

pub use faults::{Disks, Fault, Profile};
pub use promises::Promise;
pub use run::{Failure, Options, Report, run, run_traced, seed_under_way};
pub use schedule::{Harm, Paths, Schedule, ScheduleError, ScheduleProblem, Scheduled, Way};
pub use scheduled::{Besides, Planned, PlannedError};
