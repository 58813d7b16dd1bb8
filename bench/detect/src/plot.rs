//! The plot: which share of healthy regions knows of a loss, and how soon.
//! Must not need anything but text.

use std::fmt::Write;

use crate::report::Row;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 460.0;
/// Left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (60.0, 20.0, 40.0, 150.0);
/// The ends of the axis of time, in seconds.
const SECONDS: (f64, f64) = (0.1, 200.0);
/// Colours that can be told apart on white and on black, by people who see fewer too.
const COLOURS: [&str; 7] =
    ["#0077bb", "#0077bb", "#ee7733", "#ee7733", "#cc3311", "#aa66bb", "#009988"];
const DASHES: [&str; 7] = ["none", "7 4", "none", "7 4", "none", "none", "none"];

fn x(seconds: f64) -> f64 {
    let (least, most) = (SECONDS.0.ln(), SECONDS.1.ln());
    let share = (seconds.clamp(SECONDS.0, SECONDS.1).ln() - least) / (most - least);
    MARGIN.0 + share * (WIDTH - MARGIN.0 - MARGIN.1)
}

fn y(share: f64) -> f64 {
    HEIGHT - MARGIN.3 - share * (HEIGHT - MARGIN.2 - MARGIN.3)
}

fn axes(svg: &mut String) {
    for seconds in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0] {
        let (x, top, bottom) = (x(seconds), y(1.0), y(0.0));
        let line =
            format!(r#"<line class="grid" x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom}"/>"#);
        let label = format!(
            r#"<text x="{x:.1}" y="{}" text-anchor="middle">{seconds}</text>"#,
            bottom + 18.0
        );
        writeln!(svg, "{line}\n{label}").expect("memory");
    }
    for percent in [0, 25, 50, 75, 100] {
        let (y, left, right) = (y(f64::from(percent) / 100.0), MARGIN.0, WIDTH - MARGIN.1);
        let line =
            format!(r#"<line class="grid" x1="{left}" y1="{y:.1}" x2="{right}" y2="{y:.1}"/>"#);
        let (x, below) = (left - 8.0, y + 4.0);
        let label = format!(r#"<text x="{x}" y="{below:.1}" text-anchor="end">{percent} %</text>"#);
        writeln!(svg, "{line}\n{label}").expect("memory");
    }
    let (middle, below) = ((MARGIN.0 + WIDTH - MARGIN.1) / 2.0, y(0.0) + 40.0);
    let text = "seconds after the loss of a region (logarithmic)";
    writeln!(svg, r#"<text x="{middle}" y="{below}" text-anchor="middle">{text}</text>"#)
        .expect("memory");
    let text = "Healthy regions in which most nodes know that a region is lost";
    writeln!(svg, r#"<text class="title" x="{}" y="24">{text}</text>"#, MARGIN.0).expect("memory");
}

/// The steps of one curve; those that never knew are missing at its end.
fn curve(row: &Row) -> String {
    let mut times = row.detection.regions.clone();
    times.sort_by(f64::total_cmp);
    let count = (times.len() + row.detection.missed).max(1) as f64;
    let mut points = String::new();
    let mut last = (f64::NAN, f64::NAN);
    for (number, ms) in times.iter().enumerate() {
        let point = (x(ms / 1_000.0), y((number + 1) as f64 / count));
        // A point that nobody could see apart from the last one is left out.
        let is_seen = !((point.0 - last.0).abs() < 0.4 && (point.1 - last.1).abs() < 0.8);
        if is_seen || number + 1 == times.len() {
            write!(points, "{:.1},{:.1} ", point.0, point.1).expect("memory");
            last = point;
        }
    }
    points.trim_end().to_owned()
}

/// Draws the plot.
pub(crate) fn svg(rows: &[Row]) -> String {
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<style>
text {{ font: 13px sans-serif; fill: #333 }} .title {{ font-weight: bold; font-size: 15px }}
.grid {{ stroke: #ccc; stroke-width: 1 }} .back {{ fill: #fff }}
polyline, .key {{ fill: none; stroke-width: 2.2 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #ddd }} .grid {{ stroke: #444 }} .back {{ fill: #0d1117 }}
}}
</style>
<rect class="back" width="{WIDTH}" height="{HEIGHT}"/>
"#
    );
    axes(&mut svg);
    for (index, row) in rows.iter().enumerate() {
        let (colour, dash) = (COLOURS[index % COLOURS.len()], DASHES[index % DASHES.len()]);
        let style = format!(r#"stroke="{colour}" stroke-dasharray="{dash}""#);
        writeln!(svg, r#"<polyline {style} points="{}"/>"#, curve(row)).expect("memory");
        let column = (index % 2) as f64;
        let (left, line) = (MARGIN.0 + 390.0 * column, y(0.0) + 66.0 + 20.0 * (index / 2) as f64);
        let (right, above) = (left + 34.0, line - 4.0);
        let key = format!(
            r#"<line class="key" {style} x1="{left}" y1="{above}" x2="{right}" y2="{above}"/>"#
        );
        let name = &row.name;
        writeln!(svg, r#"{key}<text x="{}" y="{line}">{name}</text>"#, right + 8.0)
            .expect("memory");
    }
    svg + "</svg>\n"
}
