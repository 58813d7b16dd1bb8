//! A planet of several regions, started by `photon up`.
//! Must not know how `up` runs its regions.

use std::path::Path;

use tempfile::TempDir;

use super::{Api, Done, Process, SOON, eventually, free_ports, photon, run, say};

/// The regions of a planet unless a test wants others.
pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-1"];

/// Names the folder for the state of a user's programs, so that no test meets the user's own.
const STATE_FOLDER: &str = "XDG_STATE_HOME";

/// Lines of each region's log that are shown when a test fails.
const TAIL_LINES: usize = 40;

/// Whether bytes between regions take their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wan {
    /// As long as the distance says.
    On,
    /// None at all.
    Off,
}

/// What a planet is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanetOptions {
    /// Whether bytes between regions take their time.
    pub(crate) wan: Wan,
}

/// A planet of several regions.
#[derive(Debug)]
pub(crate) struct Planet {
    /// The process of `photon up`.
    pub(crate) up: Process,
    options: PlanetOptions,
    base_port: u16,
    folder: TempDir,
}

impl Planet {
    /// Starts a planet with an empty folder, and waits until it is ready.
    pub(crate) async fn start(options: PlanetOptions) -> Self {
        Self::start_with(options, &[]).await
    }

    /// Does the same with more arguments for `photon up`.
    pub(crate) async fn start_with(options: PlanetOptions, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let base_port = free_ports(10 * REGIONS.len() as u16);
        let up = start_up(options, base_port, folder.path(), args);
        let mut planet = Self { up, options, base_port, folder };
        planet.is_ready().await;
        planet
    }

    /// Starts the planet again, after it was stopped, with more arguments for `photon up`.
    pub(crate) async fn start_again(&mut self, args: &[&str]) {
        assert!(!self.up.is_running(), "a planet is stopped before it is started again");
        self.up = start_up(self.options, self.base_port, self.folder.path(), args);
        self.is_ready().await;
    }

    async fn is_ready(&mut self) {
        self.up.says("planet ready in").await;
        for region in REGIONS {
            self.api(region).is_ready().await;
        }
    }

    /// Returns the base URL of a region's front door.
    pub(crate) fn url(&self, region: &str) -> String {
        let at = REGIONS.iter().position(|it| *it == region).expect("a region of the planet");
        format!("http://127.0.0.1:{}", self.base_port + 10 * at as u16)
    }

    /// Returns a client of a region.
    pub(crate) fn api(&self, region: &str) -> Api {
        Api::new(self.url(region))
    }

    /// Runs `photon` to its end with this planet as its `--url`.
    pub(crate) async fn photon(&self, args: &[&str]) -> Done {
        run(self.command(args), SOON * 2).await
    }

    /// Runs `photon region ACT REGION`.
    pub(crate) async fn region(&self, act: &str, region: &str) {
        self.photon(&["region", act, region]).await.ok();
    }

    /// Removes all that a region keeps, as if its disk were lost. It must not run.
    pub(crate) fn lose_disk(&self, region: &str) {
        let folder = self.folder.path().join("photon/dev").join(region);
        std::fs::remove_dir_all(folder.join("log")).expect("a region has a log");
        std::fs::remove_file(folder.join("photon.meta")).expect("a region has a name for its log");
    }

    /// Returns a folder for what a test and its programs tell each other.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Starts `photon agent run` attached to a region.
    pub(crate) async fn agent(
        &self,
        name: &str,
        skill: &str,
        region: &str,
        program: &[&str],
    ) -> Process {
        let mut args = vec!["agent", "run", "--name", name, "--skill", skill, "--region", region];
        args.push("--");
        args.extend(program);
        let agent = Process::start(format!("agent {name}"), self.command(&args));
        self.knows_agent(name).await;
        agent
    }

    /// Waits until every region knows the agent, and that it is online.
    pub(crate) async fn knows_agent(&self, name: &str) {
        for region in REGIONS {
            let api = self.api(region);
            eventually(format!("{name} is online in {region}"), || async {
                let agent = api.get(&format!("/v1/agents/{name}")).await;
                (agent.status == 200 && agent.body["status"] == "online").then_some(())
            })
            .await;
        }
    }

    /// Returns `photon` with this planet as its `--url`.
    pub(crate) fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = photon(args);
        command.env("PHOTON_URL", self.url(REGIONS[0])).env(STATE_FOLDER, self.folder.path());
        command
    }
}

impl Drop for Planet {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for region in REGIONS {
            let path = self.folder.path().join("photon/dev").join(region).join("photon.log");
            let log = std::fs::read_to_string(&path).unwrap_or_else(|err| err.to_string());
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
            say(&format!("---- {region} logged last:\n{tail}"));
        }
    }
}

fn start_up(options: PlanetOptions, base_port: u16, state: &Path, args: &[&str]) -> Process {
    let wan = match options.wan {
        Wan::On => "on",
        Wan::Off => "off",
    };
    let mut command = photon(&["up", "--wan", wan, "--base-port", &base_port.to_string()]);
    command.args(["--regions", &REGIONS.join(",")]).args(args).env(STATE_FOLDER, state);
    Process::start("photon up", command)
}
