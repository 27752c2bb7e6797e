use super::lines::Neighbours;

/// How often each pair of tokens is there, and which is most frequent in each row.
///
/// The system gives memory to the rows that are written to, so that a large vocabulary costs what it holds.
pub(super) struct Counts {
    size: usize,
    cells: Vec<u64>,
    /// The most frequent pair of each first token: its count, and the smallest second token that has it.
    best: Vec<(u64, u16)>,
}

impl Counts {
    pub(super) fn new(size: usize) -> Self {
        Self { size, cells: vec![0; size * size], best: vec![(0, 0); size] }
    }

    pub(super) fn bytes(size: usize) -> u64 {
        8 * (size * size) as u64
    }

    /// Adds pairs that were counted by first and second letter, from `first` on.
    pub(super) fn add(&mut self, first: u16, pairs: &[[u64; 4]; 4]) {
        for (a, row) in pairs.iter().enumerate() {
            for (b, count) in row.iter().enumerate() {
                let (a, b) = (usize::from(first) + a, usize::from(first) + b);
                self.cells[a * self.size + b] += count;
            }
            self.look(usize::from(first) + a);
        }
    }

    /// The most frequent pair, of equals the smallest; none when there is no pair.
    pub(super) fn most_frequent(&self) -> Option<((u16, u16), u64)> {
        let mut found: Option<((u16, u16), u64)> = None;
        for (a, &(count, b)) in self.best.iter().enumerate() {
            if count > found.map_or(0, |(_, most)| most) {
                found = Some(((a as u16, b), count));
            }
        }
        found
    }

    /// Changes the counts of pairs that `a` and `b` had, and that their product has, as the places of the merge say.
    pub(super) fn merged(&mut self, a: u16, b: u16, product: u16, around: &Neighbours) {
        let (a, b, product) = (usize::from(a), usize::from(b), usize::from(product));
        let cell = |row: usize, column: usize| row * self.size + column;
        // A place may take away what another one gives: sums first.
        for (p, &count) in around.before.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.cells[cell(p, product)] += count;
        }
        for (q, &count) in around.after.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.cells[cell(product, q)] += count;
        }
        for (p, &count) in around.before.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.cells[cell(p, a)] = self.cells[cell(p, a)].saturating_sub(count);
        }
        for (q, &count) in around.after.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.cells[cell(b, q)] = self.cells[cell(b, q)].saturating_sub(count);
        }
        self.cells[cell(a, b)] = 0;
        for (p, _) in around.before.iter().enumerate().filter(|&(_, &count)| count > 0) {
            self.look_at(p, [a, product]);
        }
        for row in [a, b, product] {
            self.look(row);
        }
    }

    /// Looks at a row of which some counts have changed.
    fn look_at(&mut self, row: usize, changed: [usize; 2]) {
        let (most, at) = self.best[row];
        let count = |column: usize| self.cells[row * self.size + column];
        if changed.contains(&usize::from(at)) && count(usize::from(at)) < most {
            return self.look(row);
        }
        let mut best = (most, at);
        for column in changed {
            let count = count(column);
            if count > best.0 || count == best.0 && count > 0 && column < usize::from(best.1) {
                best = (count, column as u16);
            }
        }
        self.best[row] = best;
    }

    fn look(&mut self, row: usize) {
        let cells = &self.cells[row * self.size..][..self.size];
        let most = cells.iter().fold(0, |most, &count| most.max(count));
        let at = cells.iter().position(|&count| count == most).unwrap_or(0);
        self.best[row] = (most, at as u16);
    }
}
