//! Reads a file of test vectors: `par` (settings), `data` (inputs), `cases` (name, spec, expected arrays).
//!
//! Arrays are `{"s": shape, "d": floats}` or `{"s": shape, "i": integers}`, row-major; `null` is minus infinity. Inputs are
//! `q [Hq, S, D]`, `k` and `v` `[Hkv, S, D]`. A key `out` of a case may be followed by a stride in its `spec`
//! (`::3`): then only every third query row is stored, which the shape tells.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

/// An array of a vector file.
#[derive(Clone, Debug)]
pub struct Array {
    pub shape: Vec<usize>,
    pub data: Vec<f64>,
}

impl Array {
    fn from_json(value: &Value) -> Option<Self> {
        let shape =
            value.get("s")?.as_array()?.iter().map(|n| n.as_u64().expect("a size") as usize).collect();
        let numbers = value.get("d").or_else(|| value.get("i"))?;
        let data = match numbers {
            Value::Array(numbers) => {
                numbers.iter().map(|x| x.as_f64().unwrap_or(f64::NEG_INFINITY)).collect()
            }
            single => vec![single.as_f64().unwrap_or(f64::NEG_INFINITY)],
        };
        Some(Self { shape, data })
    }

    pub fn f32(&self) -> Vec<f32> {
        self.data.iter().map(|&x| x as f32).collect()
    }

    pub fn integers(&self) -> Vec<i64> {
        self.data.iter().map(|&x| x as i64).collect()
    }
}

/// One file.
pub struct Vectors {
    name: String,
    json: Value,
    compared: RefCell<BTreeSet<String>>,
}

impl Vectors {
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { name: path.display().to_string(), json, compared: RefCell::default() }
    }

    /// Names of the cases.
    pub fn cases(&self) -> Vec<String> {
        self.json["cases"].as_object().expect("cases").keys().cloned().collect()
    }

    /// A setting.
    pub fn par(&self, name: &str) -> &Value {
        let value = &self.json["par"][name];
        assert!(!value.is_null(), "{}: no par.{name}", self.name);
        value
    }

    pub fn usize(&self, name: &str) -> usize {
        self.par(name).as_u64().unwrap_or_else(|| panic!("{}: par.{name}", self.name)) as usize
    }

    pub fn f64(&self, name: &str) -> f64 {
        self.par(name).as_f64().unwrap_or_else(|| panic!("{}: par.{name}", self.name))
    }

    pub fn list(&self, name: &str) -> Vec<i64> {
        let list = self.par(name).as_array().unwrap_or_else(|| panic!("{}: par.{name}", self.name));
        list.iter().map(|x| x.as_i64().expect("an integer")).collect()
    }

    /// An input.
    pub fn data(&self, name: &str) -> Array {
        Array::from_json(&self.json["data"][name]).unwrap_or_else(|| panic!("{}: no data.{name}", self.name))
    }

    /// A number that only the description of a case gives, as in `theta=16` or `cap 64`.
    pub fn spec(&self, case: &str, name: &str) -> f64 {
        let spec = self.json["cases"][case]["spec"].as_str().expect("a spec");
        let mut words = spec.split([' ', ',', ';', '=']);
        let number = words.find(|word| *word == name).and_then(|_| words.next()?.parse().ok());
        number.unwrap_or_else(|| panic!("{}: {case} gives no {name}: {spec}", self.name))
    }

    /// What a case expects under a key; remembers that it was asked for.
    pub fn expected(&self, case: &str, key: &str) -> Array {
        self.compared.borrow_mut().insert(format!("{case}/{key}"));
        Array::from_json(&self.json["cases"][case]["expect"][key])
            .unwrap_or_else(|| panic!("{}: {case} has no {key}", self.name))
    }

    /// Compares numbers: `tolerance` is absolute, and relative for numbers above 1.
    #[allow(clippy::float_cmp, reason = "infinities are equal or not")]
    pub fn close(&self, case: &str, key: &str, ours: &[f64], tolerance: f64) {
        let theirs = self.expected(case, key);
        assert_eq!(ours.len(), theirs.data.len(), "{}: {case}/{key} of shape {:?}", self.name, theirs.shape);
        for (i, (&a, &b)) in ours.iter().zip(&theirs.data).enumerate() {
            let same = a.to_bits() == b.to_bits() || (a - b).abs() <= tolerance * b.abs().max(1.0);
            assert!(same, "{}: {case}/{key}[{i}]: {a} instead of {b}", self.name);
        }
    }

    /// Compares integers exactly.
    pub fn same(&self, case: &str, key: &str, ours: &[usize]) {
        let ours: Vec<i64> = ours.iter().map(|&x| x as i64).collect();
        assert_eq!(ours, self.expected(case, key).integers(), "{}: {case}/{key}", self.name);
    }

    /// Rows of `[heads, rows, dim]` that an expected array of fewer rows holds: every n-th.
    pub fn thinned(rows: usize, stored: usize) -> Vec<usize> {
        (0..rows).step_by(rows.div_ceil(stored)).collect()
    }

    /// What a case computes, in words.
    pub fn description(&self, case: &str) -> &str {
        self.json["cases"][case]["spec"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: {case} has no spec", self.name))
    }

    /// Keys of all cases that nothing was compared with.
    pub fn left(&self) -> Vec<String> {
        let cases = self.json["cases"].as_object().expect("cases");
        let all = cases.iter().flat_map(|(case, body)| {
            let keys = body["expect"].as_object().expect("expect");
            keys.keys().map(move |key| format!("{case}/{key}"))
        });
        all.filter(|key| !self.compared.borrow().contains(key)).collect()
    }
}
