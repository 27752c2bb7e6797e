//! Says whether a sequence satisfies constraints by looking at all of it, from what users wrote.

use kilobase_models::decode::constraint::Constraints;

/// What is wrong with `output` behind `prompt`, as far as generated bases are involved.
pub fn fault(constraints: &Constraints, prompt: &[u8], output: &[u8]) -> Option<String> {
    let text = [prompt, output].concat().to_ascii_uppercase();
    let new = prompt.len();
    let mut faults = Vec::new();

    if let Some(longest) = constraints.max_run {
        for letter in ["A", "C", "G", "T"] {
            faults.extend(occurrence(&text, new, &letter.repeat(longest.get() + 1)));
        }
    }
    for window in &constraints.gc_windows {
        let written = window.to_string();
        let (window, range) = written.split_once(':').expect("window:range");
        let window: usize = window.parse().expect("a number");
        let later = text.windows(window).enumerate().filter(|(i, _)| i + window > new);
        let out = later.filter(|(_, w)| w.iter().all(|b| b"ACGT".contains(b)) && !within(range, w));
        faults.extend(out.map(|(i, _)| format!("GC of {window} bases at {i}")));
    }
    if let Some(range) = constraints.gc.map(|range| range.to_string())
        && !output.is_empty()
        && !within(&range, output)
    {
        faults.push("total GC".to_owned());
    }
    let motifs = constraints.forbid.iter().map(ToString::to_string);
    for motif in motifs.chain(constraints.forbid_sites.iter().map(|enzyme| enzyme.site().to_string())) {
        faults.extend(occurrence(&text, new, &motif));
        faults.extend(occurrence(&text, new, &other_strand(&motif)));
    }
    for frame in constraints.no_stop.iter().map(ToString::to_string) {
        let first = usize::from(frame.as_bytes()[0] - b'0');
        for (i, codon) in text.windows(3).enumerate() {
            let in_frame = (i + 3 * new + 3 - new - first).is_multiple_of(3) && i + 3 > new;
            if in_frame && [b"TAA", b"TAG", b"TGA"].contains(&codon.try_into().expect("three letters")) {
                faults.push(format!("stop codon at {i} in frame {frame}"));
            }
        }
        if frame.ends_with(":start") && output.get(first..first + 3) != Some(b"ATG") {
            faults.push("no start codon".to_owned());
        }
    }
    if constraints.prefix.as_ref().is_some_and(|bases| !output.starts_with(bases.to_string().as_bytes())) {
        faults.push("prefix".to_owned());
    }
    if constraints.suffix.as_ref().is_some_and(|bases| !output.ends_with(bases.to_string().as_bytes())) {
        faults.push("suffix".to_owned());
    }
    if let Some(template) = constraints.template.as_ref().map(ToString::to_string)
        && (template.len() != output.len() || occurrence(output, 0, &template).is_none())
    {
        faults.push("template".to_owned());
    }
    (!faults.is_empty()).then(|| faults.join(", "))
}

fn within(range: &str, bases: &[u8]) -> bool {
    let (low, high) = range.split_once(':').expect("low:high");
    let (low, high): (f64, f64) = (low.parse().expect("a number"), high.parse().expect("a number"));
    let gc = bases.iter().filter(|base| b"GC".contains(base)).count() as f64 / bases.len() as f64;
    gc > low - 1e-9 && gc < high + 1e-9
}

/// The first place of a motif that ends behind `new`.
fn occurrence(text: &[u8], new: usize, motif: &str) -> Option<String> {
    let fits = |window: &[u8]| window.iter().zip(motif.bytes()).all(|(b, code)| letters(code).contains(b));
    let mut places = text.windows(motif.len()).enumerate();
    let place = places.find(|(i, window)| i + motif.len() > new && fits(window));
    place.map(|(i, _)| format!("{motif} at {i}"))
}

fn letters(code: u8) -> &'static [u8] {
    match code {
        b'A' => b"A",
        b'C' => b"C",
        b'G' => b"G",
        b'T' => b"T",
        b'R' => b"AG",
        b'Y' => b"CT",
        b'S' => b"CG",
        b'W' => b"AT",
        b'K' => b"GT",
        b'M' => b"AC",
        b'B' => b"CGT",
        b'D' => b"AGT",
        b'H' => b"ACT",
        b'V' => b"ACG",
        _ => b"ACGT",
    }
}

fn other_strand(motif: &str) -> String {
    let complement = |code| match code {
        'A' => 'T',
        'C' => 'G',
        'G' => 'C',
        'T' => 'A',
        'R' => 'Y',
        'Y' => 'R',
        'K' => 'M',
        'M' => 'K',
        'B' => 'V',
        'V' => 'B',
        'D' => 'H',
        'H' => 'D',
        same => same,
    };
    motif.chars().rev().map(complement).collect()
}

#[test]
fn the_checker_sees_what_is_planted() {
    let parse = |json: &str| -> Constraints { serde_json::from_str(json).expect("constraints") };
    let cases = [
        (r#"{"max_run":3}"#, "ACAA", "AACC", true),
        (r#"{"max_run":3}"#, "AAAA", "CAAA", false),
        (r#"{"gc_windows":["4:0.25:0.5"]}"#, "GG", "GA", true),
        (r#"{"gc_windows":["4:0.25:0.5"]}"#, "GN", "GGGA", true),
        (r#"{"gc_windows":["4:0.25:0.5"]}"#, "GN", "GGA", false),
        (r#"{"gc":"0.5:0.6"}"#, "GG", "GAA", true),
        (r#"{"forbid_sites":["BsaI"]}"#, "GAG", "ACC", true),
        (r#"{"forbid_sites":["BsaI"]}"#, "GAGACC", "AC", false),
        (r#"{"no_stop":["0"]}"#, "T", "AATAA", false),
        (r#"{"no_stop":["1"]}"#, "GTG", "A", true),
        (r#"{"no_stop":["1"]}"#, "GGT", "GAC", false),
        (r#"{"no_stop":["1"]}"#, "TG", "A", true),
        (r#"{"no_stop":["0:start"]}"#, "", "ATGTGG", false),
        (r#"{"no_stop":["0:start"]}"#, "", "ACGTGG", true),
        (r#"{"prefix":"AC","suffix":"CA"}"#, "", "ACA", false),
        (r#"{"prefix":"AC","suffix":"CA"}"#, "AC", "CA", true),
        (r#"{"template":"NRT"}"#, "", "CGT", false),
        (r#"{"template":"NRT"}"#, "", "CGTT", true),
    ];
    for (json, prompt, output, faulty) in cases {
        let found = fault(&parse(json), prompt.as_bytes(), output.as_bytes());
        assert_eq!(found.is_some(), faulty, "{json} {prompt}|{output}: {found:?}");
    }
}
