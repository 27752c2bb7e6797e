//! Trained numbers on the host, under the names of published checkpoints.

use super::Network;
use crate::checkpoint::{self, Weights};
use crate::family::values;
use burn::module::{ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use std::collections::BTreeMap;

/// The numbers of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// PyTorch's order.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// Tensors by name: masters, gradients, or moments. Names are those of checkpoints, so a matrix that two layers share is
/// one entry, and gradients of both are added in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(BTreeMap<String, Named>);

impl Parameters {
    /// The parameters of a module with their present numbers.
    pub fn of<N: Network>(network: &N) -> Self {
        let mut reader = Reader { network, path: Vec::new(), found: Self::default() };
        network.visit(&mut reader);
        reader.found
    }

    /// The same names and shapes, filled with zeros.
    #[must_use]
    pub fn zeros(&self) -> Self {
        let zeros =
            |named: &Named| Named { shape: named.shape.clone(), values: vec![0.0; named.values.len()] };
        Self(self.0.iter().map(|(name, named)| (name.clone(), zeros(named))).collect())
    }

    /// Sets all numbers to zero.
    pub fn clear(&mut self) {
        for named in self.0.values_mut() {
            named.values.fill(0.0);
        }
    }

    /// One tensor.
    pub fn get(&self, name: &str) -> Option<&Named> {
        self.0.get(name)
    }

    /// One tensor, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Named> {
        self.0.get_mut(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Named)> {
        self.0.iter().map(|(name, named)| (name.as_str(), named))
    }

    /// All, by name, to change them.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&str, &mut Named)> {
        self.0.iter_mut().map(|(name, named)| (name.as_str(), named))
    }

    /// Adds or replaces a tensor.
    pub fn insert(&mut self, name: impl Into<String>, named: Named) {
        self.0.insert(name.into(), named);
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.0.values().map(|named| named.values.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Root of the sum of all squares, summed in f64 in the order of names.
    pub fn norm(&self) -> f64 {
        let squares = |named: &Named| named.values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        self.0.values().map(squares).sum::<f64>().sqrt()
    }

    /// The name of a tensor that holds something else than finite numbers.
    pub fn not_finite(&self) -> Option<&str> {
        let bad = |named: &Named| named.values.iter().any(|x| !x.is_finite());
        self.0.iter().find(|(_, named)| bad(named)).map(|(name, _)| name.as_str())
    }

    /// Adds to a tensor.
    ///
    /// # Panics
    /// If there is no such tensor, or it has another shape.
    pub fn add(&mut self, name: &str, values: &[f32]) {
        let named = self.0.get_mut(name).unwrap_or_else(|| panic!("no parameter {name}"));
        assert_eq!(named.values.len(), values.len(), "{name}: another shape");
        for (sum, value) in named.values.iter_mut().zip(values) {
            *sum += value;
        }
    }

    /// Adds what a backward pass found for the parameters of a module. Parameters that the loss does not depend on get nothing.
    pub fn add_gradients<N: Network>(&mut self, network: &N, gradients: &Gradients) {
        network.visit(&mut Adder { network, path: Vec::new(), gradients, sums: self });
    }

    /// A module with these numbers.
    #[must_use]
    pub fn put<N: Network>(&self, network: N) -> N {
        // The mapper needs the names while the module is taken apart.
        let names = network.clone();
        network.map(&mut Writer { network: &names, path: Vec::new(), from: self })
    }

    /// Numbers of these names and shapes from a checkpoint, each name preceded by `prefix`.
    pub fn read(&self, weights: &Weights, prefix: &str) -> Result<Self, checkpoint::Error> {
        let mut all = Self::default();
        for (name, named) in self.iter() {
            let values = weights.read_f32(&format!("{prefix}{name}"))?;
            all.insert(name, Named { shape: named.shape.clone(), values });
        }
        Ok(all)
    }

    /// Name, shape and numbers of each, as they are written to a file.
    pub fn tensors<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (String, &'a [usize], &'a [f32])> + 'a {
        self.iter().map(move |(name, named)| (format!("{prefix}{name}"), &named.shape[..], &named.values[..]))
    }
}

impl<S: Into<String>> FromIterator<(S, Vec<usize>, Vec<f32>)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (S, Vec<usize>, Vec<f32>)>>(tensors: I) -> Self {
        let named = |(name, shape, values): (S, _, _)| (name.into(), Named { shape, values });
        Self(tensors.into_iter().map(named).collect())
    }
}

/// The parts of a stacked parameter: name, shape, and where its numbers are.
fn parts<N: Network>(
    network: &N,
    path: &[String],
    shape: &[usize],
) -> Vec<(String, Vec<usize>, std::ops::Range<usize>)> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let width: usize = shape[1..].iter().product();
    let mut start = 0;
    let mut part = |(name, rows): (String, usize)| {
        let end = start + rows * width;
        let range = start..end;
        start = end;
        (name, [&[rows], &shape[1..]].concat(), range)
    };
    let parts: Vec<_> = network.names(&path, shape[0]).into_iter().map(&mut part).collect();
    assert_eq!(start, shape.iter().product::<usize>(), "{path:?}: parts make the whole");
    parts
}

struct Reader<'a, N> {
    network: &'a N,
    path: Vec<String>,
    found: Parameters,
}

impl<N: Network> ModuleVisitor for Reader<'_, N> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val().inner();
        let shape = tensor.dims();
        let all = values(tensor);
        for (name, shape, range) in parts(self.network, &self.path, &shape) {
            self.found.insert(name, Named { shape, values: all[range].to_vec() });
        }
    }
}

struct Adder<'a, N> {
    network: &'a N,
    path: Vec<String>,
    gradients: &'a Gradients,
    sums: &'a mut Parameters,
}

impl<N: Network> ModuleVisitor for Adder<'_, N> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = param.val().grad(self.gradients) else { return };
        let shape = gradient.dims();
        let all = values(gradient);
        for (name, _, range) in parts(self.network, &self.path, &shape) {
            self.sums.add(&name, &all[range]);
        }
    }
}

struct Writer<'a, N> {
    network: &'a N,
    path: Vec<String>,
    from: &'a Parameters,
}

impl<N: Network> ModuleMapper for Writer<'_, N> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let device: Device = param.val().device();
        let mut all = Vec::with_capacity(shape.iter().product());
        for (name, _, _) in parts(self.network, &self.path, &shape) {
            all.extend_from_slice(&self.from.get(&name).expect("a number for each parameter").values);
        }
        let grows = param.val().is_require_grad();
        param.map(|_| {
            let tensor = Tensor::<D>::from_data(TensorData::new(all, shape), &device);
            if grows { tensor.require_grad() } else { tensor }
        })
    }
}
