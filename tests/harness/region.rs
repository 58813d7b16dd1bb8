//! One region by itself, started by `photon serve` as production does.
//! Must not know what its configuration means.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Api, Done, Process, SOON, free_ports, photon, run};

/// The name of every region that runs by itself.
const NAME: &str = "eu-west-1";

/// What a region is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegionOptions {
    /// More of its configuration, such as `[tasks]\nlease_ttl = "1s"`.
    pub(crate) config: String,
    /// Where it keeps its state, if it is not a new folder.
    pub(crate) data: Option<PathBuf>,
    /// Variables of its environment.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

/// One region by itself.
#[derive(Debug)]
pub(crate) struct Region {
    /// Its process.
    pub(crate) process: Process,
    /// A client of it.
    pub(crate) api: Api,
    /// Where it keeps its state.
    pub(crate) data: PathBuf,
    site: Site,
}

/// A configuration in a folder: all that a region is started from.
#[derive(Debug)]
pub(crate) struct Site {
    /// The file.
    pub(crate) config: PathBuf,
    /// The address of the front door.
    pub(crate) address: String,
    data: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
    _folder: TempDir,
}

impl Site {
    /// Writes the configuration of a region.
    pub(crate) fn new(options: &RegionOptions) -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let port = free_ports(2);
        let (address, link) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
        let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
        let more = &options.config;
        let text = format!(
            "planet = \"test\"\n[regions.{NAME}]\napi = \"{address}\"\nlink = \"{link}\"\n\
             [node]\ndata = \"{}\"\n{more}\n",
            data.display()
        );
        let config = folder.path().join("photon.toml");
        fs::write(&config, text).expect("the folder was made for it");
        let environment = options.environment.clone();
        Self { config, address, data, environment, _folder: folder }
    }

    /// Changes the text of the configuration.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(&self.config).expect("it was written before");
        fs::write(&self.config, change(text)).expect("it was written before");
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = photon(&["serve", "--region", NAME, "--config"]);
        command.arg(&self.config).envs(self.environment.iter().copied());
        command
    }

    /// Starts the region where that must fail, and returns what it said.
    pub(crate) async fn fails(&self) -> Done {
        run(self.command(), SOON).await
    }

    /// Starts the region, and waits until it is ready.
    pub(crate) async fn start(self) -> Region {
        let mut process = Process::start("photon serve", self.command());
        let api = Api::new(format!("http://{}", self.address));
        tokio::select! {
            () = api.is_ready() => {}
            status = process.has_ended() => panic!("the region has ended at its start: {status}"),
        }
        Region { process, api, data: self.data.clone(), site: self }
    }
}

impl Region {
    /// Starts a region, and waits until it is ready.
    pub(crate) async fn start(options: &RegionOptions) -> Self {
        Site::new(options).start().await
    }

    /// Kills the region as a power cut would, and returns what it was started from.
    pub(crate) async fn kill(self) -> Site {
        let Self { mut process, site, .. } = self;
        process.kill().await;
        site
    }

    /// The address of its front door.
    pub(crate) fn address(&self) -> &str {
        &self.site.address
    }
}
