//! What is wrong before a region has begun: its configuration, its data, its port.
//! Must not leave it at the refusal: mended as the error says, the region starts.

use std::fs;
use std::net::TcpListener;

use crate::harness::{
    Region, RegionOptions, SOON, Site, free_ports, peak_memory_bytes, photon, run,
};

/// The command line or the configuration is wrong.
const USAGE: i32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_typo_in_the_configuration_is_found_with_its_line_and_the_key_that_was_meant() {
    let site = Site::new(&RegionOptions {
        config: "[tasks]\nlease_tll = \"5s\"".to_owned(),
        ..RegionOptions::default()
    });
    let says = ["photon.toml:8", "`tasks.lease_tll`", "did you mean `tasks.lease_ttl`?"];
    site.fails().await.refused(USAGE, &says);
    site.edit(|text| text.replace("lease_tll = \"5s\"", "lease_ttl = \"5\""));
    site.fails().await.refused(USAGE, &["`tasks.lease_ttl`", "\"5\""]);
    site.edit(|text| text.replace("\"5\"", "\"5s\""));
    site.start().await.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_everybody_needs_a_token() {
    let site = Site::new(&RegionOptions::default());
    site.edit(|text| text.replace("api = \"127.0.0.1", "api = \"192.0.2.1"));
    site.fails().await.refused(USAGE, &["not loopback", "photon token new", "listen.tokens"]);
    site.edit(|text| text.replace("192.0.2.1", "127.0.0.1"));
    site.start().await.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_what_to_do() {
    let site = Site::new(&RegionOptions::default());
    let other = TcpListener::bind(&site.address).expect("it was found free");
    let failed = site.fails().await;
    assert_ne!(failed.code, Some(0), "{failed:?}");
    let code = failed.code.expect("no signal ended it");
    failed.refused(code, &[&site.address, "in use", "regions.eu-west-1.api"]);
    drop(other);
    site.start().await.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planet_says_which_of_its_ports_is_in_use() {
    let base = free_ports(30);
    let taken = base + 10;
    let _other = TcpListener::bind(("127.0.0.1", taken)).expect("it was found free");
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let mut up = photon(&["up", "--base-port", &base.to_string(), "--data"]);
    up.arg(folder.path());
    let failed = run(up, SOON).await;
    let code = failed.code.expect("no signal ended it");
    assert_ne!(code, 0, "{failed:?}");
    failed.refused(code, &[&format!("127.0.0.1:{taken}"), "--base-port"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_another_version_or_process_is_left_alone() {
    let region = Region::start(&RegionOptions::default()).await;
    let id = region.api.completes_a_task().await;
    let options = RegionOptions { data: Some(region.data.clone()), ..RegionOptions::default() };
    let pid = region.process.pid();
    Site::new(&options).fails().await.refused(1, &["locked by process", &pid.to_string()]);
    assert!(0 < peak_memory_bytes(pid), "the first process lives on");

    let meta = region.data.join("photon.meta");
    let site = region.kill().await;
    let text = fs::read_to_string(&meta).unwrap();
    let version = text.lines().next().unwrap();
    fs::write(&meta, text.replacen(version, "version 999", 1)).unwrap();
    site.fails().await.refused(1, &["photon.meta", "format version `999`"]);
    fs::write(&meta, &text).unwrap();
    let region = site.start().await;
    region.api.get(&format!("/v1/tasks/{id}")).await.ok();
    region.api.lives_on().await;
}
