//! What a configuration may say, and what it is told when it may not.

use super::*;

const GOOD: &str = r#"planet = "dev"
[regions.us-east-1]
api = "127.0.0.1:7400"
link = "127.0.0.1:7401"
[regions.eu-west-1]
api = "127.0.0.1:7410"
link = "127.0.0.1:7411"
"#;

const EVERYTHING: &str = r#"
planet = "prod-2"
voters = ["moon"]
outside = "refuse"
push_targets = "public"
card_key = "keys/cards.pem"
[regions.eu-west-1]
api = "0.0.0.0:7400"
url = "https://eu.photon.example"
link = "[2001:db8::1]:7401"
[regions.moon]
api = "192.0.2.7:7410"
link = "127.0.0.1:7411"
latitude = 1
longitude = -23.5
city = "Sea of \"Tranquility\""
country = "XM"
[placements]
eu = ["eu-west-1"]
both = ["moon", "eu-west-1"]
[node]
data = '/var/lib/photon "1"'
[listen]
tokens = ["sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
[links]
secret = "correct horse battery \\ staple"
certificate = "tls/\"eu\".pem"
key = "/etc/photon/eu.key"
authority = "tls/ca.pem"
bytes_per_second_max = "64MiB"
bulk_bytes_per_second_max = "4MiB"
topology = "hybrid"
groups = [["moon"], ["eu-west-1"]]
via = { moon = "127.0.0.1:9001" }
[tasks]
lease_ttl = "90s"
pickup_ttl = "2500ms"
attempts_max = 3
pause_ttl = "1d"
push_retry_for = "3h"
open_max = 1_000
input_bytes_max = "64KiB"
artifact_bytes_max = "1MiB"
retention = "7d"
kept_bytes_max = "1GiB"
[ard]
publisher = "agents.example.com"
[ard.registries]
public = "https://finder.example/ard"
"near.by" = { url = "http://127.0.0.1:9/x/", token = "correct-horse-\"battery" }
[ard.embedder]
url = "http://127.0.0.1:11434/v1"
model = "nomic-\"embed\""
key = "sk-0123456789abcdef"
floor = 0.5
[agents]
silent_after = "1m"
registered_max = 50
[limits]
body_bytes_max = "65537B"
bodies_bytes_max = "64MiB"
header_bytes_max = "8KiB"
connections_max = 100
followers_max = 10
watches_bytes_max = "65MiB"
request_timeout = "5s"
in_flight_max = 64
[data]
bytes_max = "2GiB"
memory_max = "3MiB"
value_bytes_max = "64KiB"
fields_max = 7
datasets_max = 9
repair_every = "45s"
[log]
segment_bytes = "1MiB"
[datasets.carts]
type = "map"
tenants = { "Acme \"1\"" = "eu", b = "both" }
others = "global"
mode = "single-master"
master = "eu-west-1"
elsewhere = "refuse"
conflicts = "prefer"
prefer = "eu-west-1"
write_consistency = "quorum"
read_consistency = "causal"
ttl = "7d"
retention = "30d"
[datasets.people]
type = "document"
residencies = { eu = "eu", both = "both" }
attribute = "home"
sensitive_keys = true
["datasets"."a.b"]
type = "counter"
placement = "eu"
outside = "refuse"
"#;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

/// Parses `GOOD` followed by `text`, and expects this error.
fn check(text: &str, expected: &str) {
    check_whole(&format!("{GOOD}{text}"), expected);
}

fn check_whole(text: &str, expected: &str) {
    let error = Config::parse("p.toml", text).expect_err(text).to_string();
    assert_eq!(error, expected, "{text}");
}

#[test]
fn the_least_configuration_has_defaults_for_the_rest() {
    let config = Config::parse("p.toml", GOOD).unwrap();
    assert_eq!(config.regions[&region("eu-west-1")].city.as_deref(), Some("Dublin"));
    assert_eq!(config.placements[&PlacementId::global()].len(), 2);
    assert_eq!(config.tasks, TaskLimits::default());
    assert_eq!(config.dial(region("us-east-1")), Some("127.0.0.1:7401".parse().unwrap()));
    assert_eq!(config.dial(region("mars")), None);
}

#[test]
fn what_is_written_is_read_back() {
    for text in [GOOD, EVERYTHING] {
        let config = Config::parse("p.toml", text).unwrap();
        let rendered = config.to_toml().unwrap();
        assert_eq!(Config::parse("rendered", &rendered).unwrap(), config, "{rendered}");
    }
}

#[test]
fn every_key_of_a_full_configuration_has_its_meaning() {
    let config = Config::parse("p.toml", EVERYTHING).unwrap();
    let moon = &config.regions[&region("moon")];
    assert_eq!(moon.place, Place { latitude: 1.0, longitude: -23.5 });
    assert_eq!(moon.base_url(), "http://192.0.2.7:7410");
    let proxied = &config.regions[&region("eu-west-1")];
    assert_eq!(proxied.base_url(), "https://eu.photon.example");
    assert_eq!(moon.city.as_deref(), Some("Sea of \"Tranquility\""));
    assert_eq!(config.dial(region("moon")), Some("127.0.0.1:9001".parse().unwrap()));
    assert_eq!(config.tokens, [TokenHash::of("abc")]);
    assert_eq!(config.placements.len(), 3);
    assert_eq!(config.tasks.open_max, 1_000);
    assert_eq!(config.limits.body_bytes_max, ByteSize(65_537));
    assert_eq!(config.limits.bodies_bytes_max, ByteSize::mib(64));
    assert_eq!(config.limits.watches_bytes_max, ByteSize::mib(65));
    assert_eq!(config.data_folder(region("moon")).unwrap(), Path::new("/var/lib/photon \"1\""));
    assert!(!format!("{config:?}").contains("battery"), "the secret is printed");
}

#[test]
fn a_typo_gets_the_key_that_was_meant() {
    let hint = |text, line, key, near| {
        let expected = format!("p.toml:{line}: unknown key `{key}`, did you mean `{near}`?");
        check(text, &expected);
    };
    hint("[lisen]", 8, "lisen", "listen");
    hint("lnik = 1", 8, "regions.eu-west-1.lnik", "regions.eu-west-1.link");
    hint("[node]\ndate = 1", 9, "node.date", "node.data");
    hint("[listen]\ntoken = []", 9, "listen.token", "listen.tokens");
    hint("[links]\n\nsecrte = ''", 10, "links.secrte", "links.secret");
    hint("[tasks]\nleese_ttl = '1s'", 9, "tasks.leese_ttl", "tasks.lease_ttl");
    hint("[agents]\nsilent_afetr = '1s'", 9, "agents.silent_afetr", "agents.silent_after");
    hint("[limits]\nbodies_byte_max = 1", 9, "limits.bodies_byte_max", "limits.bodies_bytes_max");
    hint("[limits]\nin_fligth_max = 1", 9, "limits.in_fligth_max", "limits.in_flight_max");
    hint("[log]\nsegment_byte = ''", 9, "log.segment_byte", "log.segment_bytes");
    let root = "p.toml:1: unknown key `plant`, did you mean `planet`?";
    check_whole("plant = 'dev'", root);
    check("[node]\nzzzzzz = 1", "p.toml:9: unknown key `node.zzzzzz`, known here: `data`");
}

#[test]
fn a_value_of_the_wrong_type_is_told_what_to_be() {
    let wrong = |text, key, found, expected| {
        check(text, &format!("p.toml:9: `{key}` is {found}, but must be {expected}"));
    };
    let duration = "a duration such as \"50ms\", \"15s\", \"5m\", \"24h\" or \"7d\"";
    wrong("[tasks]\nlease_ttl = 15", "tasks.lease_ttl", "the number 15", duration);
    wrong("[tasks]\nlease_ttl = '15'", "tasks.lease_ttl", "the text \"15\"", duration);
    wrong("[tasks]\nopen_max = '9'", "tasks.open_max", "the text \"9\"", "a whole number");
    wrong("[tasks]\nopen_max = -9", "tasks.open_max", "the number -9", "a whole number");
    let size = "a size such as \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"";
    wrong("[log]\nsegment_bytes = '9MB'", "log.segment_bytes", "the text \"9MB\"", size);
    wrong("[node]\ndata = true", "node.data", "true", "a text in quotes");
    wrong("[placements]\neu = 'x'", "placements.eu", "the text \"x\"", "a list in brackets");
    wrong("[placements]\neu = []", "placements.eu", "a list", "a list of at least one region");
    let via = "[links]\nvia.eu-west-1 = 'there'";
    let address = "an address such as \"127.0.0.1:7400\"";
    wrong(via, "links.via.eu-west-1", "the text \"there\"", address);
    check(
        "country = 'Ireland'",
        "p.toml:8: `regions.eu-west-1.country` is the text \"Ireland\", \
        but must be two capital letters of ISO 3166-1, such as \"IE\"",
    );
}

#[test]
fn what_may_be_secret_is_not_repeated_in_errors() {
    let wrong = |text, key, expected| {
        let expected = format!("p.toml:9: `{key}` is something else, but must be {expected}");
        check(text, &expected);
    };
    let hash = "a hash that `photon token new` prints, such as \"sha256:..\"";
    wrong("[listen]\ntokens = ['my-token']", "listen.tokens", hash);
    wrong("[listen]\ntokens = 'my-token'", "listen.tokens", "a list in brackets");
    wrong("[links]\nsecret = 'short'", "links.secret", "a text of 16 to 256 bytes");
}

#[test]
fn a_value_out_of_bounds_is_told_the_bounds() {
    let bounds = |text, place, bounds: [&str; 3]| {
        let [value, min, max] = bounds;
        let tail = format!("is {value}, but must be between {min} and {max}");
        check(text, &format!("p.toml:{place} {tail}"));
    };
    bounds("[tasks]\nlease_ttl = '5h'", "9: `tasks.lease_ttl`", ["5h", "100ms", "1h"]);
    bounds("[tasks]\nattempts_max = 0", "9: `tasks.attempts_max`", ["0", "1", "1000"]);
    let segment = ["1KiB", "1MiB", "1GiB"];
    bounds("[log]\nsegment_bytes = '1KiB'", "9: `log.segment_bytes`", segment);
    let rate = ["1KiB", "1MiB", "64GiB"];
    let text = "[links]\nbytes_per_second_max = '1KiB'";
    bounds(text, "9: `links.bytes_per_second_max`", rate);
    bounds("latitude = 90.5", "8: `regions.eu-west-1.latitude`", ["90.5", "-90", "90"]);
    check(
        "[limits]\nbody_bytes_max = '1KiB'",
        "p.toml:1: `tasks.input_bytes_max` is 1MiB, \
        more than `limits.body_bytes_max`, which is 1KiB",
    );
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let rule = "is not a name: use 1 to 23 of a-z, 0-9 and -, beginning with a letter";
    check("[placements]\nEU = []", &format!("p.toml:9: `placements.EU`: `EU` {rule}"));
    check_whole("planet = 'My Planet'", &format!("p.toml:1: `planet`: `My Planet` {rule}"));
    let all = "p.toml:9: `placements.global` is always all regions: choose another name";
    check("[placements]\nglobal = ['eu-west-1']", all);
    let member = "p.toml:10: `placements.eu` names `eu-wset-1`, which is no region of this \
        planet, did you mean `eu-west-1`?";
    check("[placements]\neu = ['us-east-1',\n'eu-wset-1']", member);
    let via = "p.toml:9: `links.via.mars` names `mars`, which is no region of this planet, \
        known here: `eu-west-1`, `us-east-1`";
    check("[links]\nvia.mars = '127.0.0.1:1'", via);
}

#[test]
fn a_topology_makes_sense_on_its_planet_or_the_key_is_named() {
    let links = |text: &str, expected: &str| {
        let text = format!("{GOOD}[links]\n{text}");
        let error = Config::parse("p.toml", &text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{error}");
    };
    links(
        "topology = 'stra'",
        "`links.topology`: there is no topology `stra`, did you mean `star`",
    );
    links("topology = 'ring'\nhub = 'eu-west-1'", "`links.hub`: it belongs to the topology `star`");
    links("groups = []", "`links.groups`: it belongs to the topology `hybrid`, but");
    links("topology = 'star'\nhub = 'eu-wset-1'", "did you mean `eu-west-1`?");
    let circle = "parents = { eu-west-1 = 'us-east-1', us-east-1 = 'eu-west-1' }";
    links(&format!("topology = 'tree'\n{circle}"), "is its own forebear");
    let twice = "groups = [['eu-west-1'], ['us-east-1', 'eu-west-1']]";
    links(&format!("topology = 'hybrid'\n{twice}"), "`eu-west-1` stands in it twice");
    links("topology = 'hybrid'\ngroups = [[]]", "a list of at least one region");
    for name in Topology::NAMES {
        let text = format!("{GOOD}[links]\ntopology = '{name}'");
        let config = Config::parse("p.toml", &text).unwrap();
        assert_eq!(config.links.topology.name(), name);
        assert_eq!(Config::parse("p.toml", &config.to_toml().unwrap()).unwrap(), config);
    }
    for own in [
        "topology = 'star'\nhub = 'eu-west-1'",
        "topology = 'tree'\nparents.eu-west-1 = 'us-east-1'",
    ] {
        let config = Config::parse("p.toml", &format!("{GOOD}[links]\n{own}")).unwrap();
        assert_eq!(Config::parse("p.toml", &config.to_toml().unwrap()).unwrap(), config);
    }
}

#[test]
fn a_dataset_makes_sense_on_its_planet_or_the_key_is_named() {
    let dataset = |text: &str, key: &str, rule: &str| {
        let text = format!("{GOOD}[placements]\neu = ['eu-west-1']\n[datasets.d]\n{text}");
        let error = Config::parse("p.toml", &text).expect_err(&text).to_string();
        assert!(error.contains(&format!("`datasets.{key}`")) && error.contains(rule), "{error}");
    };
    dataset("", "d.type", "is missing");
    dataset("type = 'list'", "d.type", "must be \"register\"");
    dataset("type = 'map'\nttl = 5", "d.ttl", "a duration");
    dataset("type = 'map'\nplacement = 'mars'", "d.placement", "no placement is named `mars`");
    dataset("type = 'map'\ntenants = { a = 'mars' }", "d.tenants", "`mars`");
    dataset("type = 'map'\nresidencies = { a = 'mars' }", "d.residencies", "`mars`");
    dataset("type = 'map'\nattribute = 'home'", "d.attribute", "`residencies`");
    dataset("type = 'map'\nsensitive_keys = 1", "d.sensitive_keys", "true or false");
    dataset("type = 'map'\nmaster = 'eu-west-1'", "d.master", "`single-master`");
    let single = "type = 'map'\nplacement = 'eu'\nmode = 'single-master'";
    dataset(single, "d.master", "name the region that writes");
    dataset(&format!("{single}\nmaster = 'us-east-1'"), "d.master", "not a region of every");
    let prefer = "type = 'map'\nplacement = 'eu'\nconflicts = 'prefer'\nprefer = 'us-east-1'";
    dataset(prefer, "d.prefer", "not a region of every");
    dataset("type = 'counter'\nconflicts = 'highest'", "d.conflicts", "never conflict");
    dataset("type = 'counter'\nttl = '5s'", "d.ttl", "do not expire");
    dataset("type = 'counter'\nretention = '5s'", "d.retention", "do not expire");
    dataset("type = 'map'\nttl = '6s'\nretention = '5s'", "d.ttl", "not be longer");
    dataset("tpye = 'map'", "d.tpye", "did you mean `datasets.d.type`?");
    let name = "p.toml:8: `datasets.D`: `D` does not name a dataset: use 1 to 63 of a-z, 0-9, \
        -, _ and ., beginning with a letter";
    check("[datasets.D]", name);
}

#[test]
fn a_region_needs_a_place_and_addresses() {
    let addresses = "\napi = '127.0.0.1:1'\nlink = '127.0.0.1:2'";
    let place = |name: &str, tail| {
        let expected = format!("p.toml:8: the place of `regions.{name}` is not known{tail}");
        check(&format!("[regions.{name}]{addresses}"), &expected);
    };
    let fix = ": give its `latitude` and `longitude`";
    place("basement", fix);
    place("ap-south-9", &format!(" (did you mean `ap-south-1`?){fix}"));
    let half = format!("[regions.basement]{addresses}\nlatitude = 1.0");
    check(&half, &format!("p.toml:8: the place of `regions.basement` is not known{fix}"));
    let api = "p.toml:8: the key `regions.moon.api` is missing: \
        set it to the address where clients connect";
    check("[regions.moon]", api);
    let planet = "p.toml:1: the key `planet` is missing: \
        set it to the planet's name, such as \"dev\"";
    check_whole("", planet);
    let regions = "p.toml:1: the key `regions` is missing: \
        set it to a table for each region, such as [regions.eu-west-1]";
    check_whole("planet = 'dev'", regions);
}

#[test]
fn two_listeners_do_not_share_an_address() {
    let twice = "[regions.us-west-2]\napi = '127.0.0.1:7500'\nlink = '127.0.0.1:7400'";
    check(
        twice,
        "p.toml:8: `regions.us-west-2.link` and `regions.us-east-1.api` are both \
        `127.0.0.1:7400`: give each its own port",
    );
    check(
        &twice.replace("7400", "0"),
        "p.toml:10: `regions.us-west-2.link` is `127.0.0.1:0`, \
        to which nobody can connect: give an address and a port",
    );
    let anywhere = twice.replace("127.0.0.1:7400", "0.0.0.0:7501");
    check(
        &anywhere,
        "p.toml:10: `regions.us-west-2.link` is `0.0.0.0:7501`, \
        to which nobody can connect: give an address and a port",
    );
}

#[test]
fn a_url_for_clients_is_a_scheme_and_a_host() {
    let bad = ["eu.photon.example", "ftp://a", "https://a/b", "https://a?b", "https://u:p@a", ""];
    for url in bad {
        let text = format!(
            "[regions.us-west-2]\nurl = '{url}'\napi = '0.0.0.0:75'\nlink = '127.0.0.1:76'"
        );
        let error = Config::parse("p.toml", &format!("{GOOD}{text}")).unwrap_err();
        assert!(error.to_string().contains("`regions.us-west-2.url`"), "{url}: {error}");
    }
    check(
        "[regions.us-west-2]\napi = '0.0.0.0:75'\nlink = '127.0.0.1:76'",
        "p.toml:9: `regions.us-west-2.api` is `0.0.0.0:75`, \
        to which nobody can connect: give an address and a port",
    );
}

#[test]
fn an_address_that_is_open_to_others_must_be_guarded() {
    let open = "[regions.us-west-2]\napi = '192.0.2.7:7500'\nlink = '127.0.0.1:7501'";
    let token = "p.toml:9: `regions.us-west-2.api` is `192.0.2.7:7500`, which is not loopback: \
        run `photon token new` and put the hash that it prints into `listen.tokens`";
    check(open, token);
    let proxied = "[regions.us-west-2]\nurl = 'https://a.example'\napi = '127.0.0.1:7500'\nlink = \
        '127.0.0.1:7501'";
    let url = "p.toml:9: `regions.us-west-2.url` is `https://a.example/`, which is not loopback: \
        run `photon token new` and put the hash that it prints into `listen.tokens`";
    check(proxied, url);
    Config::parse("p.toml", &format!("{GOOD}{}", proxied.replace("a.example", "localhost:1")))
        .unwrap();
    let open = "[regions.us-west-2]\napi = '127.0.0.1:7500'\nlink = '10.0.0.1:7501'";
    let secret = "p.toml:10: `regions.us-west-2.link` is `10.0.0.1:7501`, which is not loopback: \
        give its links certificates (`links.certificate`, `key` and `authority`; see \
        `photon planet ca --help`), or set `links.secret` to the same 16 characters or more in \
        all regions";
    check(open, secret);
    let tls = "\n[links]\ncertificate = 'a'\nkey = 'b'\nauthority = 'c'";
    let token = "\n[listen]\ntokens = ['sha256:\
        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad']";
    Config::parse("p.toml", &format!("{GOOD}{open}{tls}{token}")).unwrap();
    let loopback = "[regions.us-west-2]\napi = '[::1]:7500'\nlink = '[::ffff:127.0.0.1]:7501'";
    Config::parse("p.toml", &format!("{GOOD}{loopback}")).unwrap();
}

#[test]
fn certificates_come_with_their_key_and_authority_and_lie_beside_the_file() {
    let missing = |text, key, expected| {
        check(text, &format!("p.toml:8: the key `links.{key}` is missing: set it to {expected}"));
    };
    let key = "the file of the private key of `links.certificate`, as PEM";
    missing("[links]\ncertificate = 'a'\nauthority = 'c'", "key", key);
    let certificate = "the file of this region's certificate, as PEM";
    missing("[links]\nkey = 'a'", "certificate", certificate);
    let empty = "p.toml:9: `links.certificate` is the text \"\", but must be the path of a file";
    check("[links]\ncertificate = ''\nkey = 'b'\nauthority = 'c'", empty);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photon.toml");
    std::fs::write(&path, EVERYTHING).unwrap();
    let tls = Config::load(&path).unwrap().links.tls.unwrap();
    assert_eq!(tls.authority, folder.path().join("tls/ca.pem"));
    assert_eq!(tls.key, Path::new("/etc/photon/eu.key"));
}

#[test]
fn a_region_that_is_named_twice_is_told_with_its_name() {
    let header = "[regions.eu-west-1]\napi = \"127.0.0.1:1\"\nlink = \"127.0.0.1:2\"\n";
    let error = Config::parse("p.toml", &format!("planet = \"p\"\n{header}{header}")).unwrap_err();
    let expected = "p.toml:5: `eu-west-1` is there twice: remove one of the two";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn broken_toml_is_told_its_line() {
    for text in ["[tasks", "x = ", "[regions.us-east-1]", "'", "a = 1\u{0}"] {
        let error = Config::parse("p.toml", &format!("{GOOD}{text}")).unwrap_err();
        assert_eq!(error.line, 8, "{text}: {error}");
        assert!(matches!(*error.problem, ConfigProblem::Syntax { .. }), "{error}");
    }
}

#[test]
fn state_is_kept_where_the_environment_says() {
    let folder = |xdg: &'static str, home: &'static str| {
        state_folder(|name| match name {
            "XDG_STATE_HOME" => (!xdg.is_empty()).then(|| xdg.into()),
            "HOME" => (!home.is_empty()).then(|| home.into()),
            other => panic!("nobody asked for {other}"),
        })
    };
    assert_eq!(folder("/state", "/home/me"), Ok(PathBuf::from("/state")));
    assert_eq!(folder("", "/home/me"), Ok(PathBuf::from("/home/me/.local/state")));
    assert_eq!(folder("relative", "/home/me"), Ok(PathBuf::from("/home/me/.local/state")));
    assert_eq!(folder("", ""), Err(NoStateFolder));
}

#[test]
fn every_key_is_documented() {
    let page = include_str!("../../../../docs/configuration.md");
    let config = Config::parse("p.toml", EVERYTHING).unwrap().to_toml().unwrap();
    for line in config.lines().filter(|it| it.contains(" = ")) {
        let key = line.split(" = ").next().unwrap();
        let is_placement = matches!(key, "eu" | "both");
        assert!(is_placement || page.contains(&format!("| `{key}` |")), "`{key}` is missing");
    }
    let rows = [
        TaskLimits::document(),
        AgentLimits::document(),
        Matching::document(),
        WireLimits::document(),
        DataLimits::document(),
        LogLimits::document(),
    ];
    for row in rows.concat() {
        assert!(page.lines().any(|it| it == row), "docs/configuration.md lacks this row:\n{row}");
    }
}
