//! A picture: leaves on the right, one a line, branches to scale.

use std::fmt::Write;

use super::Tree;

const LINE: f64 = 18.0;
const MARGIN: f64 = 12.0;
const BRANCHES: f64 = 560.0;
/// Width of a letter of the font at its size, roughly.
const LETTER: f64 = 7.4;

impl Tree {
    /// The tree as SVG. Negative branches are drawn as if they had no length.
    pub fn svg(&self) -> String {
        let n = self.nodes.len();
        let mut parents = vec![None; n];
        for (at, node) in self.nodes.iter().enumerate() {
            node.children.iter().for_each(|&child| parents[child] = Some(at));
        }
        // Parents come after their children.
        let mut depth = vec![0.0_f64; n];
        for at in (0..n).rev() {
            if let Some(parent) = parents[at] {
                depth[at] = depth[parent] + self.nodes[at].length.max(0.0);
            }
        }
        let deepest = depth.iter().copied().fold(0.0, f64::max);
        let scale = if deepest > 0.0 { BRANCHES / deepest } else { 0.0 };
        let mut height = vec![0.0; n];
        for (line, leaf) in self.drawn_leaves().into_iter().enumerate() {
            height[leaf] = MARGIN + LINE * (line as f64 + 0.5);
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if let (Some(&first), Some(&last)) = (node.children.first(), node.children.last()) {
                height[at] = f64::midpoint(height[first], height[last]);
            }
        }
        let x = |at: usize| MARGIN + scale * depth[at];
        let longest = self.names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
        let (width, total) = (
            2.0 * MARGIN + BRANCHES + 8.0 + LETTER * longest,
            2.0 * MARGIN + LINE * (self.leaves() as f64 + 1.5),
        );
        let mut out = String::new();
        let _ = writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{total:.0}" viewBox="0 0 {width:.0} {total:.0}" font-family="sans-serif" font-size="13">"#
        );
        let _ = writeln!(out, r#"<rect width="100%" height="100%" fill="white"/>"#);
        let _ = writeln!(out, r#"<g stroke="black" stroke-width="1.3" fill="none">"#);
        for (at, node) in self.nodes.iter().enumerate() {
            if let (Some(&first), Some(&last)) = (node.children.first(), node.children.last()) {
                let _ =
                    writeln!(out, r#"<path d="M{0:.2} {1:.2}V{2:.2}"/>"#, x(at), height[first], height[last]);
            }
            if let Some(parent) = parents[at] {
                let _ = writeln!(out, r#"<path d="M{:.2} {:.2}H{:.2}"/>"#, x(parent), height[at], x(at));
            }
        }
        let _ = writeln!(out, "</g>");
        for (leaf, name) in self.names.iter().enumerate() {
            let _ = writeln!(
                out,
                r#"<text x="{:.2}" y="{:.2}">{}</text>"#,
                x(leaf) + 5.0,
                height[leaf] + 4.5,
                escaped(name)
            );
        }
        write_bar(&mut out, deepest, scale, total - MARGIN);
        out.push_str("</svg>\n");
        out
    }

    /// Leaves from top to bottom.
    fn drawn_leaves(&self) -> Vec<usize> {
        let mut leaves = Vec::new();
        let mut steps: Vec<usize> = self.root().into_iter().collect();
        while let Some(at) = steps.pop() {
            if self.nodes[at].children.is_empty() {
                leaves.push(at);
            }
            steps.extend(self.nodes[at].children.iter().rev());
        }
        leaves
    }
}

/// A bar of a round length near a fifth of the width.
fn write_bar(out: &mut String, deepest: f64, scale: f64, y: f64) {
    if deepest <= 0.0 {
        return;
    }
    let power = 10.0_f64.powf((deepest / 5.0).log10().floor());
    let length = [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|&length| length <= deepest / 5.0);
    let length = length.unwrap_or(power);
    let end = MARGIN + scale * length;
    let _ = writeln!(out, r#"<path d="M{MARGIN} {y:.2}H{end:.2}" stroke="black" stroke-width="1.3"/>"#);
    let decimals = (-power.log10()).max(0.0) as usize;
    let _ = writeln!(out, r#"<text x="{:.2}" y="{:.2}">{length:.decimals$}</text>"#, end + 5.0, y + 4.5);
}

fn escaped(text: &str) -> String {
    let keep = |c: &char| !c.is_control();
    let text: String = text.chars().filter(keep).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
