//! The metrics of a region as Prometheus reads them (text format 0.0.4).
//! Must not count anything: the region, the node and the meter do.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use photon_node::{Histogram, LaneStats, LinkStats, LogStats};
use photon_region::{PlacementLag, View};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Front;
use crate::meter::BUCKETS;

/// The media type of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the route of metrics.
pub(crate) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(metrics))
}

/// The metrics of the region, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses(
        (status = 200, description = "The metrics", body = String, content_type = "text/plain"),
        crate::v1::errors::Always,
    ),
)]
async fn metrics(State(front): State<Front>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT_FORMAT)], exposition(&front))
}

/// A family of metrics that is being written.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Self { text, name }
    }

    /// Writes a sample. Labels are names of regions, routes and states: nothing to escape.
    fn sample(&mut self, labels: &str, value: impl std::fmt::Display) -> &mut Self {
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
        self
    }

    /// Writes a histogram. The labels end with a comma, if there are any.
    fn histogram(&mut self, labels: &str, it: &Histogram) {
        let name = self.name;
        for (bound, below) in &it.buckets {
            let _ = writeln!(self.text, "{name}_bucket{{{labels}le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(self.text, "{name}_bucket{{{labels}le=\"+Inf\"}} {}", it.count);
        let labels = labels.trim_end_matches(',');
        let _ = writeln!(self.text, "{name}_sum{{{labels}}} {}", it.sum);
        let _ = writeln!(self.text, "{name}_count{{{labels}}} {}", it.count);
    }
}

fn exposition(front: &Front) -> String {
    let mut text = String::with_capacity(8 << 10);
    let planet = front.planet();
    let build = format!("{{version=\"{}\",region=\"{}\"}}", planet.version, planet.region);
    Family::new(&mut text, "photon_build_info", "gauge", "The version that runs, and where.")
        .sample(&build, 1);
    let view = front.view();
    gauges(&mut text, &view);
    counters(&mut text, &view);
    data(&mut text, &view);
    peers(&mut text, &view);
    replication(&mut text, &view);
    log(&mut text, &front.handle().log_stats());
    links(&mut text, front.handle().link_stats());
    lanes(&mut text, &front.handle().lane_stats());
    edge(&mut text, front);
    requests(&mut text, front);
    text
}

fn gauges(text: &mut String, view: &View) {
    let mut gauge = |name, help, value: usize| {
        Family::new(text, name, "gauge", help).sample("", value);
    };
    gauge("photon_agents", "Agents known, on the whole planet.", view.agents);
    gauge("photon_agents_online", "Agents known that are online.", view.agents_online);
    gauge("photon_tasks_waiting", "Tasks of this home that wait for an agent.", view.waiting);
    let help = "Tasks of this home that wait for their start, or for another attempt.";
    gauge("photon_tasks_delayed", help, view.delayed);
    gauge("photon_commands_in_flight", "Commands that await their reply.", view.in_flight);
    let due = "Webhooks of tasks of this home that have not been told all there is.";
    gauge("photon_webhooks_due", due, view.webhooks_due);
    gauge("photon_tasks_kept_bytes", "Bytes of ended tasks that are kept.", view.kept_bytes);
    gauge("photon_topics", "Topics that are known here.", view.topics);
    gauge("photon_topic_bytes", "Bytes of the messages of all topics.", view.topic_bytes);
    let full = usize::from(view.is_disk_full);
    gauge("photon_disk_full", "1 while the disk refuses writes.", full);
    let slow = usize::from(view.is_disk_slow);
    gauge("photon_disk_slow", "1 while the disk takes half a second and more to sync.", slow);
    let help = "Tasks in memory, of every home that this region may hold, by state.";
    let mut family = Family::new(text, "photon_tasks", "gauge", help);
    for (state, count) in &view.tasks {
        family.sample(&format!("{{state=\"{}\"}}", state.as_str()), count);
    }
}

fn counters(text: &mut String, view: &View) {
    let mut counter = |name, help, value: u64| {
        Family::new(text, name, "counter", help).sample("", value);
    };
    let it = &view.counters;
    counter("photon_tasks_submitted_total", "Tasks accepted.", it.submitted);
    counter("photon_tasks_claimed_total", "Leases given by this home.", it.claimed);
    counter("photon_leases_lapsed_total", "Leases that lapsed.", it.lapsed);
    let what = "Attempts that came to nothing and were followed by another one.";
    counter("photon_tasks_retried_total", what, it.retried);
    let what = "Attempts and tasks that took longer than their options allow.";
    counter("photon_tasks_timed_out_total", what, it.timed_out);
    counter("photon_messages_published_total", "Messages that this home numbered.", it.posted);
    let what = "Of those the ones that a lost home had numbered before.";
    counter("photon_messages_published_again_total", what, it.posted_again);
    counter("photon_tasks_ended_total", "Tasks of this home that ended.", it.ended);
    counter("photon_commands_refused_total", "Commands refused.", it.refused);
    let help = "Claims of workers that were refused as stale.";
    counter("photon_claims_stale_total", help, it.stale);
    let help = "Ops appended to the log, of this region and of others.";
    counter("photon_ops_appended_total", help, it.appended);
    counter("photon_ops_sent_total", "Ops sent to peers, repeats included.", it.sent);
    counter("photon_ops_received_total", "Ops that peers sent.", it.received);
    let help = "Ops that peers sent and that were here already.";
    counter("photon_ops_repeated_total", help, it.repeated);
    let help = "Times that a peer was sent a stream out of turn, because it got no further.";
    counter("photon_peers_helped_total", help, it.helped);
    let help = "Ops of peers that were put off because their clock runs ahead.";
    counter("photon_ops_skewed_total", help, it.skewed);
    let help = "Times that a webhook took all that it was told.";
    counter("photon_webhooks_told_total", help, it.webhooks_told);
    let help = "Times that a webhook could not be reached, or did not take what it was told.";
    counter("photon_webhooks_failed_total", help, it.webhooks_failed);
    let help = "Times that what a webhook did not take for long was given up.";
    counter("photon_webhooks_given_up_total", help, it.webhooks_given_up);
    let help = "Ops and answers of peers that broke the rules or could not be decoded.";
    counter("photon_ops_misplaced_total", help, it.misplaced);
}

fn data(text: &mut String, view: &View) {
    let mut one = |name, kind, help, value: u64| {
        Family::new(text, name, kind, help).sample("", value);
    };
    let (it, room) = (&view.counters, &view.room);
    one("photon_datasets", "gauge", "Datasets known.", view.datasets as u64);
    one("photon_data_bytes", "gauge", "Bytes of the records of datasets.", room.bytes as u64);
    let help = "Beyond how many bytes of records writes that add are refused.";
    one("photon_data_bytes_max", "gauge", help, room.bytes_max as u64);
    let help = "Bytes of the records of datasets that are in memory.";
    one("photon_data_memory_bytes", "gauge", help, room.memory as u64);
    let help = "Beyond how many bytes in memory records are laid on pages.";
    one("photon_data_memory_bytes_max", "gauge", help, room.memory_max as u64);
    one("photon_data_pages", "gauge", "Pages of 4 KiB that hold records.", room.pages.used);
    let help = "Bytes of what is kept of changes for watchers.";
    one("photon_data_changes_bytes", "gauge", help, room.changes as u64);
    let help = "Pages that were read: of records that were not in memory.";
    one("photon_data_pages_read_total", "counter", help, room.pages.read);
    let help = "Pages that were written: of records that had no room in memory.";
    one("photon_data_pages_written_total", "counter", help, room.pages.written);
    one("photon_data_writes_total", "counter", "Records written by clients.", it.written);
    let help = "Requests about data that were handed on to another region.";
    one("photon_data_forwarded_total", "counter", help, it.forwarded);
    let help = "Tasks that gave way to another one of the same idempotency key.";
    one("photon_tasks_gave_way_total", "counter", help, it.gave_way);
    let help = "Looks at tasks that were handed on to a region that has them.";
    one("photon_tasks_looked_elsewhere_total", "counter", help, it.looked_elsewhere);
    let help = "Questions to homes of tasks that went through a third region: a path is bad.";
    one("photon_tasks_detoured_total", "counter", help, it.detoured);
    let help = "Questions to homes of tasks that were asked for a region with a bad path.";
    one("photon_tasks_passed_on_total", "counter", help, it.passed_on);
    let help = "Times that rights of a bounded counter were given to another region.";
    one("photon_data_rights_given_total", "counter", help, it.rights_given);
    let help = "Quorum reads that found regions with the same ops and another state: damage.";
    one("photon_data_mismatched_total", "counter", help, it.mismatched);
    let help = "Comparisons with peers that were begun, to find damage.";
    one("photon_repair_comparisons_total", "counter", help, it.compared);
    let help = "Bytes of what was told to peers in comparisons.";
    one("photon_repair_bytes_total", "counter", help, it.compared_bytes);
    let help = "Records that were found damaged, here or at a peer, and mended from here.";
    one("photon_repair_mended_total", "counter", help, it.mended);
    let help = "Writes that met another one that their author had not seen.";
    let mut family = Family::new(text, "photon_data_conflicts_total", "counter", help);
    for it in &view.conflicts {
        family.sample(&format!("{{dataset=\"{}\"}}", it.dataset), it.count);
    }
    let help = "Conflicts in a second, as the mean of the last ten.";
    let mut family = Family::new(text, "photon_data_conflicts_per_second", "gauge", help);
    for it in &view.conflicts {
        family.sample(&format!("{{dataset=\"{}\"}}", it.dataset), it.per_second);
    }
    let help = "1 while writes are in conflict more often than data.conflict_alarm_per_second.";
    let mut family = Family::new(text, "photon_data_conflict_alarm", "gauge", help);
    for it in &view.conflicts {
        family.sample(&format!("{{dataset=\"{}\"}}", it.dataset), u8::from(it.is_alarming));
    }
}

fn peers(text: &mut String, view: &View) {
    let labels = |region| format!("{{peer=\"{region}\"}}");
    let help = "1 while there is a link to the peer.";
    let mut family = Family::new(text, "photon_link_up", "gauge", help);
    for peer in &view.peers {
        family.sample(&labels(peer.region), u8::from(peer.is_linked));
    }
    let help = "Ops of this region that are not yet durable at the peer.";
    let mut family = Family::new(text, "photon_link_lag_ops", "gauge", help);
    for peer in &view.peers {
        family.sample(&labels(peer.region), peer.lag_ops);
    }
    let help = "The last round trip measured over the link.";
    let mut family = Family::new(text, "photon_link_round_trip_seconds", "gauge", help);
    for peer in &view.peers {
        if let Some(round_trip) = peer.round_trip {
            family.sample(&labels(peer.region), round_trip.as_secs_f64());
        }
    }
}

/// How far regions are behind each other: a sample for each peer and placement that both are in,
/// so the labels are bounded. What is not known has no sample.
fn replication(text: &mut String, view: &View) {
    let mut family = |name, help, value: fn(&PlacementLag) -> Option<f64>| {
        let mut family = Family::new(text, name, "gauge", help);
        for peer in &view.peers {
            for it in &peer.placements {
                let labels = format!("{{peer=\"{}\",placement=\"{}\"}}", peer.region, it.placement);
                if let Some(value) = value(it) {
                    family.sample(&labels, value);
                }
            }
        }
    };
    let help = "How long ago the first op of this region was made that is not durable at the peer.";
    family("photon_replication_lag_seconds", help, |it| it.lag.map(|lag| lag.as_secs_f64()));
    let help = "Ops of this region that are not yet durable at the peer.";
    family("photon_replication_lag_ops", help, |it| Some(it.lag_ops as f64));
    let help = "How long ago the peer may have made an op that is missing here.";
    family("photon_replication_staleness_seconds", help, |it| {
        it.staleness.map(|staleness| staleness.as_secs_f64())
    });
    let help = "1 while a peer sends its state, because this region was away for too long.";
    Family::new(text, "photon_replication_taking_state", "gauge", help)
        .sample("", u8::from(view.is_taking_state));
    let help = "Times that a peer was sent the state, because no log held what it lacked.";
    Family::new(text, "photon_replication_states_sent_total", "counter", help)
        .sample("", view.counters.transfers);
}

fn log(text: &mut String, it: &LogStats) {
    let help = "How long a sync of the log took.";
    Family::new(text, "photon_log_sync_seconds", "histogram", help).histogram("", &it.sync_seconds);
    let help = "How many ops one sync served.";
    Family::new(text, "photon_log_group_ops", "histogram", help).histogram("", &it.group_ops);
    let help = "Bytes of the log's segments that are in use.";
    Family::new(text, "photon_log_bytes", "gauge", help).sample("", it.bytes);
    let help = "Bytes that were cut off at the start because a crash had torn them.";
    Family::new(text, "photon_log_torn_bytes", "gauge", help).sample("", it.torn_bytes);
}

fn links(text: &mut String, it: LinkStats) {
    let mut counter = |name, help, value: u64| {
        Family::new(text, name, "counter", help).sample("", value);
    };
    counter("photon_links_up_total", "Links that came up.", it.linked);
    let help = "Peers and strangers that were refused a link.";
    counter("photon_links_refused_total", help, it.refused);
    let help = "Messages dropped because no link was up or its queue was full.";
    counter("photon_link_messages_dropped_total", help, it.dropped);
    counter("photon_link_sent_bytes_total", "Bytes written to links.", it.sent_bytes);
    counter("photon_link_received_bytes_total", "Bytes read from links.", it.received_bytes);
    let name = "photon_link_certificate_not_after_seconds";
    let help = "When the certificate for links ends, in seconds since 1970, if there is one.";
    let mut family = Family::new(text, name, "gauge", help);
    if let Some(secs) = it.certificate_not_after_secs {
        family.sample("", secs);
    }
}

/// What the classes of each link carry: three for each peer, so the labels are bounded.
fn lanes(text: &mut String, all: &[LaneStats]) {
    let mut family = |name, kind, help, value: fn(&LaneStats) -> u64| {
        let mut family = Family::new(text, name, kind, help);
        for it in all {
            let labels = format!("{{peer=\"{}\",class=\"{}\"}}", it.peer, it.class);
            family.sample(&labels, value(it));
        }
    };
    let mut counter = |name, help, value| family(name, "counter", help, value);
    let help = "Messages sent, by class.";
    counter("photon_link_lane_sent_messages_total", help, |it| it.sent.messages);
    let help = "Bytes of messages sent, before compression.";
    counter("photon_link_lane_sent_raw_bytes_total", help, |it| it.sent.raw_bytes);
    let help = "Bytes of messages sent, after compression, with headers.";
    counter("photon_link_lane_sent_wire_bytes_total", help, |it| it.sent.wire_bytes);
    let help = "Messages received, by class.";
    counter("photon_link_lane_received_messages_total", help, |it| it.received.messages);
    let help = "Bytes of messages received, after decompression.";
    counter("photon_link_lane_received_raw_bytes_total", help, |it| it.received.raw_bytes);
    let help = "Bytes of messages received, before decompression, with headers.";
    counter("photon_link_lane_received_wire_bytes_total", help, |it| it.received.wire_bytes);
    let help = "Messages dropped because no link was up or the queue of their class was full.";
    counter("photon_link_lane_dropped_total", help, |it| it.dropped);
    let help = "Bytes of messages that wait to be sent.";
    family("photon_link_lane_queue_bytes", "gauge", help, |it| it.queue_bytes);
}

fn edge(text: &mut String, front: &Front) {
    let (open, refused) = front.meter().connections();
    Family::new(
        text,
        "photon_followers",
        "gauge",
        "Clients that follow a task or watch a dataset.",
    )
    .sample("", front.followers());
    let help = "Bytes of changes that clients who watch have not read.";
    Family::new(text, "photon_watches_bytes", "gauge", help).sample("", front.watches().held());
    Family::new(text, "photon_connections", "gauge", "Open connections of clients.")
        .sample("", open);
    let help = "Connections that were refused because too many were open.";
    Family::new(text, "photon_connections_refused_total", "counter", help).sample("", refused);
}

fn requests(text: &mut String, front: &Front) {
    let help = "Replies by route, method and class of status.";
    let mut family = Family::new(text, "photon_http_requests_total", "counter", help);
    front.meter().read(|method, route, series| {
        for (class, count) in (1..).zip(series.classes).filter(|(_, count)| 0 < *count) {
            let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{class}xx\"}}");
            family.sample(&labels, count);
        }
    });
    let name = "photon_http_request_seconds";
    let help = "How long it took until the head of the reply, waiting of long polls included.";
    let mut family = Family::new(text, name, "histogram", help);
    front.meter().read(|method, route, series| {
        let mut count = 0;
        let mut below = |n: &u64| {
            count += n;
            count
        };
        let buckets = series.buckets.iter().map(&mut below).collect::<Vec<_>>();
        let buckets = BUCKETS.into_iter().zip(buckets).collect();
        let histogram = Histogram { buckets, sum: series.sum.as_secs_f64(), count };
        family.histogram(&format!("method=\"{method}\",route=\"{route}\","), &histogram);
    });
}
