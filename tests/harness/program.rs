//! Programs that run to their end, and what they said.
//! Must not leave one running: each has a deadline.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

/// The binary under test.
pub(crate) const PHOTON: &str = env!("CARGO_BIN_EXE_photon");

/// What a program said, and how it ended.
pub(crate) struct Done {
    /// Its exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it remarked.
    pub(crate) stderr: String,
    what: String,
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, what } = self;
        write!(f, "{what}\nended with {code:?}\nsaid:\n{stdout}\nremarked:\n{stderr}")
    }
}

impl Done {
    /// Panics unless the program ended with this code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Panics unless the program succeeded; returns what it printed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        self.with_code(0).stdout
    }

    /// Panics unless the program succeeded; returns what it printed as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let done = self.with_code(0);
        serde_json::from_str(&done.stdout).unwrap_or_else(|err| panic!("{err}: {done:?}"))
    }

    /// Panics unless the program failed with this code and its remarks have all of `texts`.
    #[track_caller]
    pub(crate) fn refused(self, code: i32, texts: &[&str]) {
        let done = self.with_code(code);
        for text in texts {
            assert!(done.stderr.contains(text), "`{text}` is not said in {done:?}");
        }
    }
}

/// Returns the binary under test as a command. What the user has set does not matter to it.
pub(crate) fn photon(args: &[&str]) -> Command {
    let mut command = Command::new(PHOTON);
    command.args(args);
    for name in ["PHOTON_URL", "PHOTON_TOKEN", "RUST_LOG", "NO_COLOR", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command
}

/// Runs a program to its end, and kills it when it takes longer than `patience`.
pub(crate) async fn run(mut command: Command, patience: Duration) -> Done {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let what = format!("{:?}", command.as_std());
    let output = tokio::time::timeout(patience, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{what} has not ended within {patience:?}"));
    let output = output.unwrap_or_else(|err| panic!("{what}: {err}"));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Done { code: output.status.code(), stdout, stderr, what }
}
