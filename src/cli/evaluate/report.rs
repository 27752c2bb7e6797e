//! Measures as a page of HTML that needs nothing else: the table, and of each method a confusion matrix and how far its
//! probabilities can be believed, or its values over the true ones.

use std::fmt::Write;

use kilobase::models::train::metrics::{Bin, Classification, Regression};

mod scatter;

/// What is shown of a method beside its line of the table.
pub(super) struct Detail<'a> {
    pub(super) name: String,
    pub(super) picture: Picture<'a>,
}

pub(super) enum Picture<'a> {
    /// `classes` are in the order of the confusion matrix.
    Classes {
        classes: &'a [String],
        metrics: &'a Classification,
    },
    Values {
        predicted: &'a [f64],
        truth: &'a [f64],
        metrics: &'a Regression,
    },
}

const STYLE: &str = "body{font-family:sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
table{border-collapse:collapse;margin:1em 0}th,td{padding:.3em .7em;border:1px solid #ccc;text-align:right}\
th:first-child,td:first-child{text-align:left}.pair{display:flex;gap:3em;flex-wrap:wrap;align-items:flex-start}";

/// A page under a title; `facts` say what was measured, `table` has tabs between its columns and a header.
pub(super) fn page(title: &str, facts: &[(&str, String)], table: &str, details: &[Detail<'_>]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{0}</h1>\n<ul>\n",
        escaped(title)
    );
    for (name, fact) in facts {
        let _ = writeln!(html, "<li>{name}: {}</li>", escaped(fact));
    }
    html.push_str("</ul>\n<table>\n");
    for (n, line) in table.lines().enumerate() {
        let tag = if n == 0 { "th" } else { "td" };
        html.push_str("<tr>");
        for cell in line.split('\t') {
            let _ = write!(html, "<{tag}>{}</{tag}>", escaped(cell));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    for Detail { name, picture } in details {
        let _ = writeln!(html, "<h2>{}</h2>\n<div class=\"pair\">", escaped(name));
        match picture {
            Picture::Classes { classes, metrics } => {
                confusion(&mut html, classes, &metrics.confusion);
                reliability(&mut html, &metrics.calibration, metrics.calibration_error);
            }
            Picture::Values { predicted, truth, metrics } => {
                scatter::draw(&mut html, predicted, truth, metrics);
            }
        }
        html.push_str("</div>\n");
    }
    html.push_str("</body>\n</html>\n");
    html
}

/// Truth in rows, predictions in columns; the darker, the larger the share of its row.
fn confusion(html: &mut String, classes: &[String], counts: &[Vec<u64>]) {
    html.push_str(
        "<table><caption>Confusion: truth in rows, predictions in columns</caption>\n<tr><th></th>",
    );
    for class in classes {
        let _ = write!(html, "<th>{}</th>", escaped(class));
    }
    html.push_str("</tr>\n");
    for (class, row) in classes.iter().zip(counts) {
        let _ = write!(html, "<tr><th>{}</th>", escaped(class));
        let total = row.iter().sum::<u64>().max(1) as f64;
        for &count in row {
            let share = count as f64 / total;
            let _ = write!(html, "<td style=\"background:rgba(0,114,178,{:.2})\">{count}</td>", 0.7 * share);
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

/// Side of the square between the axes.
const SIDE: f64 = 220.0;
/// What is left of it and below it.
const MARGIN: f64 = 44.0;

/// Accuracy over confidence (Guo et al. 2017): on the diagonal a probability is what it says.
fn reliability(html: &mut String, bins: &[Bin], error: f64) {
    let (width, height) = (SIDE + 2.0 * MARGIN, SIDE + 2.0 * MARGIN);
    let x = |share: f64| MARGIN + SIDE * share;
    let y = |share: f64| MARGIN + SIDE * (1.0 - share);
    let _ = writeln!(
        html,
        "<svg width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n<text x=\"{MARGIN}\" y=\"16\">\
         Accuracy over confidence; mean distance {error:.4}</text>"
    );
    for (n, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.count > 0) {
        let left = x(n as f64 / bins.len() as f64);
        let _ = writeln!(
            html,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#56b4e9\"><title>{} sequences, mean \
             probability {:.3}, {:.3} right</title></rect>",
            y(bin.accuracy),
            SIDE / bins.len() as f64 - 1.0,
            SIDE * bin.accuracy,
            bin.count,
            bin.confidence,
            bin.accuracy
        );
    }
    let _ = writeln!(
        html,
        "<path d=\"M{0:.1} {1:.1}L{2:.1} {3:.1}\" stroke=\"#999\" stroke-dasharray=\"5 4\"/>\
         <path d=\"M{0:.1} {3:.1}V{1:.1}H{2:.1}\" fill=\"none\" stroke=\"black\"/>",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0)
    );
    for share in [0.0, 0.5, 1.0] {
        let _ = writeln!(
            html,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{share}</text><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{share}</text>",
            x(share),
            y(0.0) + 18.0,
            x(0.0) - 6.0,
            y(share) + 4.0
        );
    }
    html.push_str("</svg>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kilobase::models::train::metrics::measure;

    #[test]
    fn a_page_has_all_numbers_and_names_cannot_break_it() {
        let metrics = measure(&[0.9, 0.1, 0.35, 0.65, 0.8, 0.2], &[0, 1, 1], 2);
        let classes = ["<a>".to_owned(), "b&\"".to_owned()];
        let picture = Picture::Classes { classes: &classes, metrics: &metrics };
        let detail = Detail { name: "a model".to_owned(), picture };
        let facts = [("file", "x<y.csv".to_owned())];
        let html = page("kilobase evaluate", &facts, "method\tmcc\na <model>\t0.5\n", &[detail]);
        assert!(
            html.contains("<tr><td>a &lt;model&gt;</td><td>0.5</td></tr>") && html.contains("x&lt;y.csv")
        );
        assert!(html.contains("<tr><th>&lt;a&gt;</th><td style=\"background:rgba(0,114,178,0.70)\">1</td>"));
        assert!(
            html.contains("<tr><th>b&amp;&quot;</th><td style=\"background:rgba(0,114,178,0.35)\">1</td>")
        );
        // Bins of 0.65, 0.8 and 0.9.
        assert_eq!(html.matches("<rect").count(), 3);
        assert!(html.contains("1 sequences, mean probability 0.800, 0.000 right"));
        for tag in ["table", "svg", "html", "body", "tr", "div", "ul"] {
            let (open, close) =
                (html.matches(&format!("<{tag}")).count(), html.matches(&format!("</{tag}>")).count());
            assert!(open == close && open > 0, "{tag}: {open} and {close}");
        }
    }
}
