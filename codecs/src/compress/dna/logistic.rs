//! The mixer: a softmax over the four bases of weighted logarithms, with weights learned on line.

/// Steps become smaller as weights settle, down to this one.
const RATE_DECAY: f32 = 0.9999;
const LAST_RATE: f32 = 0.0015;

type Four = [f32; 4];

/// Weights by the situation: several sets are added, each chosen by another view of the situation.
#[derive(Clone, Debug)]
pub(super) struct Mixer {
    inputs: usize,
    /// For each view, where its sets begin.
    starts: Vec<usize>,
    weights: Vec<f32>,
    chosen: Vec<usize>,
    logs: Vec<Four>,
    pub(super) output: Four,
    rate: f32,
}

impl Mixer {
    /// A mixer of so many inputs, with views of so many situations each.
    pub(super) fn new(inputs: usize, views: &[usize], first: f32, rate: f32) -> Self {
        let mut starts = Vec::new();
        let mut sets = 0;
        for &situations in views {
            starts.push(sets * inputs);
            sets += situations;
        }
        let first = first / views.len() as f32;
        Self {
            inputs,
            starts,
            weights: vec![first; sets * inputs],
            chosen: vec![0; views.len()],
            logs: vec![[0.0; 4]; inputs],
            output: [0.25; 4],
            rate,
        }
    }

    pub(super) fn set(&mut self, input: usize, logs: Four) {
        self.logs[input] = logs;
    }

    /// Mixes what was set.
    pub(super) fn mix(&mut self, situations: &[usize]) -> Four {
        let mut sum = [0.0; 4];
        for ((chosen, &start), &situation) in self.chosen.iter_mut().zip(&self.starts).zip(situations) {
            *chosen = start + situation * self.inputs;
        }
        for &chosen in &self.chosen {
            for (&weight, logs) in self.weights[chosen..chosen + self.inputs].iter().zip(&self.logs) {
                for (sum, log) in sum.iter_mut().zip(logs) {
                    *sum += weight * log;
                }
            }
        }
        self.output = softmax(sum);
        self.output
    }

    /// Learns from the base that came.
    pub(super) fn update(&mut self, base: u8) {
        let mut error = self.output.map(|share| -share);
        error[usize::from(base)] += 1.0;
        let error = error.map(|error| error * self.rate);
        for &chosen in &self.chosen {
            for (weight, logs) in self.weights[chosen..chosen + self.inputs].iter_mut().zip(&self.logs) {
                *weight +=
                    (error[0] * logs[0] + error[1] * logs[1]) + (error[2] * logs[2] + error[3] * logs[3]);
            }
        }
        self.rate = (self.rate * RATE_DECAY).max(LAST_RATE);
    }
}

/// Shares by their logarithms.
pub(super) fn softmax(logs: Four) -> Four {
    let most = logs[0].max(logs[1]).max(logs[2].max(logs[3]));
    let raw = logs.map(|log| exp(log - most));
    let total = (raw[0] + raw[1]) + (raw[2] + raw[3]);
    raw.map(|raw| raw / total)
}

/// `e` to a power from -80 to 0, by its binary digits and a polynomial: the same bits on every machine.
fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = (if x < -80.0 { -80.0 } else { x }) * std::f32::consts::LOG2_E;
    let shifted = x + ROUND;
    let rest = x - (shifted - ROUND);
    let series = 1.0
        + rest
            * (std::f32::consts::LN_2
                + rest
                    * (0.240_226_5
                        + rest * (0.055_504_11 + rest * (0.009_618_129 + rest * 0.001_333_355_8))));
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23))
}
