//! The tasks of GUE, the benchmark of DNABERT-2 (Zhou et al. 2024), and how its authors fine-tune on them.

/// One task.
pub(super) struct Task {
    /// Its folder, as the benchmark is distributed.
    pub(super) folder: &'static str,
    /// What is published for DNABERT-2-117M, in hundredths: of the macro F1 for covid, of Matthews' correlation for all else.
    pub(super) published: f64,
    /// Passes over the training set.
    pub(super) epochs: u64,
    /// Steps at most; 0 for as many as the epochs have.
    pub(super) max_steps: u64,
    /// Tokens of byte-pair encoding that are read of a sequence.
    pub(super) tokens: usize,
}

impl Task {
    /// Whether what is published is the macro F1.
    pub(super) fn is_f1(&self) -> bool {
        self.folder == "virus/covid"
    }
}

const fn task(folder: &'static str, published: f64, epochs: u64, tokens: usize) -> Task {
    Task { folder, published, epochs, max_steps: 0, tokens }
}

const fn mouse(folder: &'static str, published: f64) -> Task {
    Task { max_steps: 1000, ..task(folder, published, 5, 30) }
}

/// All of them. Published are the figures of the README of DNABERT-2, without further pretraining on GUE.
pub(super) const TASKS: [Task; 28] = [
    task("EMP/H3", 78.27, 3, 128),
    task("EMP/H3K14ac", 52.57, 3, 128),
    task("EMP/H3K36me3", 56.88, 3, 128),
    task("EMP/H3K4me1", 50.52, 3, 128),
    task("EMP/H3K4me2", 31.13, 3, 128),
    task("EMP/H3K4me3", 36.27, 3, 128),
    task("EMP/H3K79me3", 67.39, 3, 128),
    task("EMP/H3K9ac", 55.63, 3, 128),
    task("EMP/H4", 80.71, 3, 128),
    task("EMP/H4ac", 50.43, 3, 128),
    task("prom/prom_300_all", 86.77, 4, 70),
    task("prom/prom_300_notata", 94.27, 4, 70),
    task("prom/prom_300_tata", 71.59, 10, 70),
    task("prom/prom_core_all", 69.37, 4, 20),
    task("prom/prom_core_notata", 68.04, 4, 20),
    task("prom/prom_core_tata", 74.17, 10, 20),
    task("tf/0", 71.99, 3, 30),
    task("tf/1", 76.06, 3, 30),
    task("tf/2", 66.52, 3, 30),
    task("tf/3", 58.54, 3, 30),
    task("tf/4", 77.43, 3, 30),
    mouse("mouse/0", 56.76),
    mouse("mouse/1", 84.77),
    mouse("mouse/2", 79.32),
    mouse("mouse/3", 66.47),
    mouse("mouse/4", 52.66),
    task("virus/covid", 71.02, 8, 256),
    task("splice/reconstructed", 84.99, 5, 80),
];
