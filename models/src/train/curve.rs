//! The loss of a run as a picture.

use super::log::Line;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const COLOURS: [&str; 6] = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// Left, top, width and height of the field between the axes.
const FIELD: [f64; 4] = [70.0, 30.0, 560.0, 340.0];
/// Points of the training line at most: means over equally many steps each.
const POINTS: usize = 400;

/// Bits per base over steps as SVG: training in grey, held-out sets in colours, and a line at 2.0, which knowing nothing takes.
pub fn svg(lines: &[Line]) -> String {
    let mut training = Vec::new();
    let mut held_out: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for line in lines {
        match line {
            Line::Step(line) => training.push((line.step as f64, line.bits_per_base)),
            Line::HeldOut(line) => {
                held_out.entry(&line.held_out).or_default().push((line.step as f64, line.bits_per_base));
            }
        }
    }
    let size = training.len().div_ceil(POINTS).max(1);
    let mean = |part: &[(f64, f64)]| {
        let count = part.len() as f64;
        (part.iter().map(|p| p.0).sum::<f64>() / count, part.iter().map(|p| p.1).sum::<f64>() / count)
    };
    let training: Vec<(f64, f64)> = training.chunks(size).map(mean).collect();
    let all = || training.iter().chain(held_out.values().flatten()).filter(|p| p.1.is_finite());
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    // The first steps are far above all others and would press those together.
    let low = all().map(|p| p.1).fold(2.0, f64::min);
    let high = all().filter(|p| p.0 > last / 20.0).map(|p| p.1).fold(2.0, f64::max);
    let (low, high) = ((low * 20.0 - 0.5).floor() / 20.0, (high * 20.0 + 0.5).ceil() / 20.0);
    let [left, top, width, height] = FIELD;
    let x = |step: f64| left + width * step / last;
    let y = |bits: f64| top + height * (high - bits.clamp(low, high)) / (high - low);
    let mut body = String::new();
    let ticks = 5;
    for n in 0..=ticks {
        let part = f64::from(n) / f64::from(ticks);
        let (bits, step) = (low + part * (high - low), part * last);
        stroke(&mut body, &[(left, y(bits)), (left + width, y(bits))], "#dddddd", "");
        text(&mut body, left - 8.0, y(bits) + 4.0, "end", &format!("{bits:.3}"));
        text(&mut body, x(step), top + height + 18.0, "middle", &format!("{step:.0}"));
    }
    stroke(&mut body, &[(left, y(2.0)), (left + width, y(2.0))], "#999999", "stroke-dasharray=\"5 4\"");
    let place = |points: &[(f64, f64)]| points.iter().map(|p| (x(p.0), y(p.1))).collect::<Vec<_>>();
    stroke(&mut body, &place(&training), "#aaaaaa", "");
    let mut key = vec![("training".to_owned(), "#aaaaaa")];
    for ((name, points), colour) in held_out.iter().zip(COLOURS.iter().cycle()) {
        stroke(&mut body, &place(points), colour, "stroke-width=\"2\"");
        let bits = points.last().map_or(f64::NAN, |p| p.1);
        key.push((format!("{name}, held out: {bits:.4}"), colour));
    }
    for (n, (name, colour)) in key.iter().enumerate() {
        let row = top + 12.0 + 20.0 * n as f64;
        stroke(
            &mut body,
            &[(left + width + 14.0, row), (left + width + 36.0, row)],
            colour,
            "stroke-width=\"2\"",
        );
        text(&mut body, left + width + 42.0, row + 4.0, "start", name);
    }
    text(&mut body, left + width / 2.0, top + height + 38.0, "middle", "step");
    text(
        &mut body,
        left - 56.0,
        top - 12.0,
        "start",
        "bits per base; dashed: 2.0, every base as probable as the next",
    );
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"430\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn stroke(body: &mut String, points: &[(f64, f64)], colour: &str, more: &str) {
    if points.is_empty() {
        return;
    }
    let _ = write!(body, "<polyline fill=\"none\" stroke=\"{colour}\" {more} points=\"");
    for (x, y) in points {
        let _ = write!(body, "{x:.1},{y:.1} ");
    }
    body.push_str("\"/>\n");
}

fn text(body: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::log::{HeldOut, Step};

    #[test]
    fn pictures_have_all_lines_and_no_more_points_than_they_can_show() {
        let step = |step| {
            let bits_per_base = 2.0 + 5.0 / step as f64;
            let (epoch, tokens, bases) = (1, 1, 6);
            Line::Step(Step {
                step,
                epoch,
                loss: 1.0,
                bits_per_base,
                learning_rate: 1.0,
                gradient_norm: 1.0,
                tokens,
                bases,
                seconds: 1.0,
            })
        };
        let held_out = |step| {
            let held_out = "worm & <fly>".to_owned();
            Line::HeldOut(HeldOut { step, held_out, loss: 1.0, bits_per_base: 1.9, bases: 6 })
        };
        let lines: Vec<Line> = (1..=5000).map(step).chain([held_out(100), held_out(5000)]).collect();
        let svg = svg(&lines);
        assert!(svg.contains("worm &amp; &lt;fly&gt;, held out: 1.9000"));
        assert!(svg.matches(',').count() < 2 * POINTS && svg.ends_with("</svg>\n"));
        assert!(!super::svg(&[]).contains("NaN"));
    }
}
