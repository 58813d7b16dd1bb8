//! A real region on imagined time and disk, behind a handle: appends are durable at once, and a
//! command that waits is answered by letting the time pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_edge::{
    Front, FrontConfig, FrontLimits, PlanetInfo, PushTargets, RegionInfo, TokenHash,
};
use photon_node::Handle;
use photon_region::{
    Command, Config, Input, Limits, Message, Output, Place, Refusal, Region, Reply, Topology, View,
};
use photon_state::{Now, PlacementId, RegionId, Seen};

const HERE: &str = "eu-west-1";
const THERE: &str = "us-east-1";
const FAR: &str = "ap-southeast-1";

fn id(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

/// A region that three are told of, of which it alone decides.
pub(crate) struct Imagined {
    pub(crate) region: Region,
    pub(crate) now: Now,
    pub(crate) ticket: u64,
    pub(crate) appended: u64,
}

impl Imagined {
    pub(crate) fn new() -> Self {
        let place = Place { latitude: 0.0, longitude: 0.0 };
        let (us, eu) = (BTreeSet::from([id(THERE)]), BTreeSet::from([id(HERE)]));
        let mut region = Region::new(Config {
            region: id(HERE),
            incarnation: 1,
            regions: [HERE, THERE, FAR].map(|it| (id(it), place)).into(),
            placements: [("us", us), ("eu", eu.clone()), ("west", eu)]
                .map(|(name, members)| (PlacementId::try_from(name).unwrap(), members))
                .into(),
            datasets: vec![],
            voters: BTreeSet::from([id(HERE)]), // It decides although the others say nothing.
            topology: Topology::Mesh,
            weights: photon_region::Weights::default(),
            limits: Limits::default(),
            seed: 7,
        });
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        region.start(now);
        let mut imagined = Self { region, now, ticket: 0, appended: 0 };
        imagined.hear_of_others();
        imagined
    }

    /// The other regions say once that they have nothing: only then does a new log count.
    fn hear_of_others(&mut self) {
        for peer in [THERE, FAR].map(id) {
            let (seen, linked) = (Seen::default(), BTreeMap::new());
            let said = Message::Seen { incarnation: 1, seen, linked, topology: None };
            let inputs = [Input::Linked(peer), Input::Message(peer, said), Input::Unlinked(peer)];
            inputs.into_iter().for_each(|it| self.region.handle(self.now, it));
        }
        self.drain();
    }

    fn answer(&mut self, command: Command) -> Result<Reply, Refusal> {
        self.ticket += 1;
        self.region.handle(self.now, Input::Command(self.ticket, command));
        loop {
            if let Some(reply) = self.drain() {
                return reply;
            }
            self.now.mono += Duration::from_millis(10);
            self.now.wall_ms += 10;
            self.region.handle(self.now, Input::Tick);
        }
    }

    fn drain(&mut self) -> Option<Result<Reply, Refusal>> {
        let mut answer = None;
        loop {
            let before = self.appended;
            while let Some(output) = self.region.poll() {
                match output {
                    Output::Append(_) => self.appended += 1,
                    Output::Reply(ticket, reply) if ticket == self.ticket => answer = Some(reply),
                    Output::Reply(..)
                    | Output::Send(..)
                    | Output::Fetch { .. }
                    | Output::Truncate { .. }
                    | Output::Notice(_)
                    | Output::Halt(_) => {}
                }
            }
            if before == self.appended {
                return answer;
            }
            self.region.handle(self.now, Input::Durable(self.appended));
        }
    }
}

fn info(name: &str) -> RegionInfo {
    RegionInfo {
        name: id(name),
        city: "Dublin".to_owned(),
        country: "IE".to_owned(),
        continent: "Europe".to_owned(),
        latitude: 53.35,
        longitude: -6.26,
        privacy: "GDPR".to_owned(),
        api: format!("http://{name}.example"),
    }
}

/// Makes the front door of a real region.
pub(crate) fn front(tokens: Vec<TokenHash>, limits: FrontLimits) -> Front {
    let handle = imagined();
    front_of(handle, tokens, limits)
}

fn imagined() -> Handle {
    let imagined = std::sync::Mutex::new(Imagined::new());
    Handle::from_fn(move |command| imagined.lock().unwrap().answer(command))
}

/// Makes a region with a front door whose registry is told this.
pub(crate) fn front_with_registry(tokens: Vec<TokenHash>, ard: photon_edge::ArdConfig) -> Front {
    front_of_ard(imagined().with_view(View::default()), (tokens, FrontLimits::default()), ard)
}

/// Makes the front door of whatever answers behind a handle.
pub(crate) fn front_of(handle: Handle, tokens: Vec<TokenHash>, limits: FrontLimits) -> Front {
    front_of_view(handle.with_view(View::default()), tokens, limits)
}

/// Makes the front door of a handle that shows what it shows.
pub(crate) fn front_of_view(handle: Handle, tokens: Vec<TokenHash>, limits: FrontLimits) -> Front {
    front_of_ard(handle, (tokens, limits), photon_edge::ArdConfig::alone("dev.localhost"))
}

fn front_of_ard(
    handle: Handle,
    (tokens, limits): (Vec<TokenHash>, FrontLimits),
    ard: photon_edge::ArdConfig,
) -> Front {
    let all = vec![id(HERE), id(THERE), id(FAR)];
    let [us, eu] = ["us", "eu"].map(|it| PlacementId::try_from(it).unwrap());
    let planet = PlanetInfo {
        name: "test".to_owned(),
        region: id(HERE),
        url: None,
        regions: vec![info(HERE), info(THERE), info(FAR)],
        placements: BTreeMap::from([
            (PlacementId::global(), all),
            (us, vec![id(THERE)]),
            (eu, vec![id(HERE)]),
        ]),
        version: "0.1.0".to_owned(),
    };
    Front::new(FrontConfig {
        handle,
        planet,
        tokens,
        limits,
        push_targets: PushTargets::Any,
        ard,
        card_key: None,
    })
}
