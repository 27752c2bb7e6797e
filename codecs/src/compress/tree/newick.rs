use std::fmt::Write;

use super::Tree;

impl Tree {
    /// The tree in Newick's format, with lengths of six decimals and without a line end.
    pub fn newick(&self) -> String {
        let mut out = String::new();
        if let Some(root) = self.root() {
            self.write_node(root, root, &mut out);
        }
        out.push(';');
        out
    }

    // Not recursive: a chain of thousands of leaves would be as deep.
    fn write_node(&self, root: usize, start: usize, out: &mut String) {
        enum Step {
            Enter(usize),
            Comma,
            Leave(usize),
        }
        let mut steps = vec![Step::Enter(start)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Comma => out.push(','),
                Step::Enter(at) if self.nodes[at].children.is_empty() => {
                    out.push_str(&quoted(&self.names[at]));
                    self.write_length(at, root, out);
                }
                Step::Enter(at) => {
                    out.push('(');
                    steps.push(Step::Leave(at));
                    for (rank, &child) in self.nodes[at].children.iter().enumerate().rev() {
                        steps.push(Step::Enter(child));
                        if rank > 0 {
                            steps.push(Step::Comma);
                        }
                    }
                }
                Step::Leave(at) => {
                    out.push(')');
                    self.write_length(at, root, out);
                }
            }
        }
    }

    fn write_length(&self, at: usize, root: usize, out: &mut String) {
        if at != root {
            // A string takes any text.
            let _ = write!(out, ":{:.6}", self.nodes[at].length);
        }
    }
}

/// Names that hold a letter with a meaning are quoted; a quote inside is doubled.
fn quoted(name: &str) -> String {
    let is_plain = !name.is_empty()
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || "()[]{}/\\,;:=*'\"`+<>_".contains(c));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', "''")) }
}
