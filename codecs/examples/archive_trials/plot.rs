//! Two panels of curves as an SVG.

/// Shares between 0 and 1.
pub(crate) struct Line {
    pub(crate) panel: &'static str,
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;

pub(crate) fn svg(lines: &[Line]) -> String {
    let mut body = String::new();
    for (number, (panel, title)) in [
        ("errors_percent", "errors a nucleotide, % (coverage 10)"),
        ("coverage", "mean coverage (errors 1.34 %)"),
    ]
    .into_iter()
    .enumerate()
    {
        let origin = LEFT + number as f64 * (WIDTH + 80.0);
        let own: Vec<&Line> = lines.iter().filter(|line| line.panel == panel).collect();
        let most = own.iter().flat_map(|line| &line.points).map(|point| point.0).fold(1.0, f64::max);
        let x = |value: f64| origin + value / most * WIDTH;
        let y = |share: f64| TOP + (1.0 - share) * HEIGHT;
        for share in [0.0, 0.5, 1.0] {
            body.push_str(&stroke(&[(x(0.0), y(share)), (x(most), y(share))], "#dddddd"));
            body.push_str(&text(x(0.0) - 8.0, y(share) + 4.0, "end", &format!("{share}")));
        }
        for step in 0..=4 {
            let value = most * f64::from(step) / 4.0;
            body.push_str(&stroke(&[(x(value), y(0.0)), (x(value), y(1.0))], "#dddddd"));
            body.push_str(&text(x(value), y(0.0) + 18.0, "middle", &format!("{value:.1}")));
        }
        body.push_str(&text(x(most / 2.0), y(0.0) + 40.0, "middle", title));
        for (line, colour) in own.iter().zip(COLOURS) {
            let points: Vec<(f64, f64)> =
                line.points.iter().map(|&(value, share)| (x(value), y(share))).collect();
            body.push_str(&stroke(&points, colour));
        }
    }
    let names = lines.iter().filter(|line| line.panel == "coverage");
    for (number, (line, colour)) in names.zip(COLOURS).enumerate() {
        let at = LEFT + number as f64 * 120.0;
        body.push_str(&stroke(&[(at, 20.0), (at + 24.0, 20.0)], colour));
        body.push_str(&text(at + 30.0, 24.0, "start", line.name));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"820\" height=\"340\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn stroke(points: &[(f64, f64)], colour: &str) -> String {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
        points.join(" ")
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>\n")
}
