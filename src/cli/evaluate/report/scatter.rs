//! Predicted values over true ones.

use std::fmt::Write;

use kilobase::models::train::metrics::Regression;

/// Side of the square between the axes.
const SIDE: f64 = 360.0;
/// What is left of it and below it.
const MARGIN: f64 = 70.0;
/// Points at most: evenly spread over the sequences.
const POINTS: usize = 5000;

/// Both axes have one scale, so that on the diagonal a prediction is what is true.
pub(super) fn draw(html: &mut String, predicted: &[f64], truth: &[f64], metrics: &Regression) {
    let all = || predicted.iter().chain(truth).copied().filter(|x| x.is_finite());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    // All in one place still has a square around it.
    let room = if high > low { 0.02 * (high - low) } else { low.abs().max(1.0) / 2.0 };
    let (low, high) = (low - room, high + room);
    let x = |value: f64| MARGIN + SIDE * (value - low) / (high - low);
    let y = |value: f64| MARGIN + SIDE * (high - value) / (high - low);
    let size = SIDE + 2.0 * MARGIN;
    let step = truth.len().div_ceil(POINTS).max(1);
    let shown = truth.len().div_ceil(step);
    let r = metrics.pearson.map_or_else(|| "NA".to_owned(), |r| format!("{r:.4}"));
    let part = if step > 1 { format!(", {shown} of {} sequences", truth.len()) } else { String::new() };
    let _ = writeln!(
        html,
        "<svg width=\"{size}\" height=\"{size}\" font-family=\"sans-serif\" font-size=\"12\">\n<text x=\"{MARGIN}\" \
         y=\"20\">Predicted over true values; Pearson's r {r}{part}</text>"
    );
    for n in 0..5 {
        let value = low + (high - low) * f64::from(n) / 4.0;
        let text = tick(value, high - low);
        let (left, right) = (MARGIN, MARGIN + SIDE);
        let _ = writeln!(
            html,
            "<path d=\"M{left} {0:.1}H{right}M{1:.1} {left}V{right}\" stroke=\"#e5e5e5\"/><text x=\"{1:.1}\" y=\"{2:.1}\" \
             text-anchor=\"middle\">{text}</text><text x=\"{3:.1}\" y=\"{4:.1}\" text-anchor=\"end\">{text}</text>",
            y(value),
            x(value),
            right + 18.0,
            left - 6.0,
            y(value) + 4.0
        );
    }
    let _ = writeln!(
        html,
        "<path d=\"M{0:.1} {1:.1}L{2:.1} {3:.1}\" stroke=\"#999\" stroke-dasharray=\"5 4\"/>\
         <path d=\"M{0:.1} {3:.1}V{1:.1}H{2:.1}\" fill=\"none\" stroke=\"black\"/>",
        x(low),
        y(low),
        x(high),
        y(high)
    );
    // Strokes of no length with round ends are points, all in one element.
    html.push_str("<path fill=\"none\" stroke=\"#0072b2\" stroke-opacity=\"0.45\" stroke-width=\"4\" stroke-linecap=\"round\" d=\"");
    for (predicted, truth) in predicted.iter().zip(truth).step_by(step) {
        if predicted.is_finite() {
            let _ = write!(html, "M{:.1} {:.1}h0", x(*truth), y(*predicted));
        }
    }
    html.push_str("\"/>\n");
    let middle = MARGIN + SIDE / 2.0;
    let _ = writeln!(
        html,
        "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">true</text><text x=\"14\" y=\"{middle}\" \
         text-anchor=\"middle\" transform=\"rotate(-90 14 {middle})\">predicted</text>\n</svg>",
        MARGIN + SIDE + 38.0
    );
}

/// A number with the digits that tell it from its neighbours.
fn tick(value: f64, range: f64) -> String {
    let digits = (2.0 - range.log10().floor()).max(0.0);
    if digits > 6.0 || value.abs() >= 1e6 {
        format!("{value:.2e}")
    } else {
        format!("{value:.*}", digits as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kilobase::models::train::metrics::measure_values;

    fn drawn(predicted: &[f64], truth: &[f64]) -> String {
        let mut html = String::new();
        draw(&mut html, predicted, truth, &measure_values(predicted, truth));
        html
    }

    #[test]
    fn every_sequence_is_a_point_and_what_is_right_lies_on_the_diagonal() {
        let html = drawn(&[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0]);
        assert_eq!(html.matches("h0").count(), 3);
        // The least of all is 2 % of the range from the corner.
        let inset = SIDE * 0.02 / 1.04;
        assert!(html.contains(&format!("M{:.1} {:.1}h0", MARGIN + inset, MARGIN + SIDE - inset)), "{html}");
        assert!(html.contains("Pearson's r 0.9608"), "{html}");
    }

    #[test]
    fn many_points_are_thinned_and_none_is_no_number() {
        let truth: Vec<f64> = (0..20_001).map(f64::from).collect();
        let html = drawn(&truth, &truth);
        assert!(html.matches("h0").count() <= POINTS && html.contains("4001 of 20001 sequences"));
        for html in [drawn(&[1.0], &[1.0]), drawn(&[0.0, 0.0], &[0.0, 0.0]), drawn(&[1e9], &[-1e-9])] {
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }
}
