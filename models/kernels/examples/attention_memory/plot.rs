//! Lines on logarithmic axes as SVG.

use std::fmt::Write as _;

/// One line of the plot.
pub(crate) struct Line {
    pub(crate) name: String,
    /// Tokens and MiB.
    pub(crate) points: Vec<(f64, f64)>,
    /// Dashed: computed, not measured.
    pub(crate) computed: bool,
}

const COLOURS: [&str; 5] = ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#666666"];
/// Left, top, width and height of the field between the axes.
const FIELD: [f64; 4] = [80.0, 40.0, 440.0, 380.0];

/// A drawing of all lines; ticks are powers of two of tokens and powers of ten of MiB.
pub(crate) fn svg(lines: &[Line]) -> String {
    let [left, top, width, height] = FIELD;
    let x = Axis::around(lines.iter().flat_map(|line| line.points.iter().map(|p| p.0)), 2.0, left, width);
    let y = Axis::around(
        lines.iter().flat_map(|line| line.points.iter().map(|p| p.1)),
        10.0,
        top + height,
        -height,
    );
    let mut body = String::new();
    for tokens in x.ticks() {
        let at = x.at(tokens);
        body += &stroke(&[(at, top), (at, top + height)], "#dddddd", false);
        body += &text(at, top + height + 18.0, "middle", &format!("{}k", tokens / 1024.0));
    }
    for mib in y.ticks() {
        let at = y.at(mib);
        body += &stroke(&[(left, at), (left + width, at)], "#dddddd", false);
        body += &text(left - 8.0, at + 4.0, "end", &format!("{mib}"));
    }
    for (i, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<_> = line.points.iter().map(|p| (x.at(p.0), y.at(p.1))).collect();
        body += &stroke(&points, colour, line.computed);
        let (key, row) = (left + width + 16.0, top + 12.0 + 22.0 * i as f64);
        body += &stroke(&[(key, row), (key + 24.0, row)], colour, line.computed);
        body += &text(key + 30.0, row + 4.0, "start", &line.name);
    }
    body += &text(left + width / 2.0, top + height + 40.0, "middle", "tokens");
    body += &text(left - 60.0, top - 16.0, "start", "MiB, peak resident memory of the process");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"820\" height=\"480\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// A logarithmic axis from power to power of its base.
struct Axis {
    base: f64,
    /// Exponents of its ends.
    low: f64,
    high: f64,
    start: f64,
    length: f64,
}

impl Axis {
    fn around(values: impl Iterator<Item = f64> + Clone, base: f64, start: f64, length: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).log(base).floor();
        let high = values.fold(0.0, f64::max).log(base).ceil();
        Self { base, low, high, start, length }
    }

    fn at(&self, value: f64) -> f64 {
        self.start + self.length * (value.log(self.base) - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.low as i32..=self.high as i32).map(|exponent| self.base.powi(exponent))
    }
}

fn stroke(points: &[(f64, f64)], colour: &str, dashed: bool) -> String {
    let mut at = String::new();
    for (x, y) in points {
        write!(at, "{x:.1},{y:.1} ").expect("a string takes all");
    }
    let dash = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>\n",
        at.trim_end()
    )
}

fn text(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>\n")
}
