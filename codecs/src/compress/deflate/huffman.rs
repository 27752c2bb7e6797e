//! Huffman codes as zlib builds them, ties included: which symbol gets which length decides what telling the lengths costs.

/// Bits of all symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cost(pub(super) u32);

/// Symbols in use, at most: 286 literals and lengths.
const MOST: usize = 286;

/// The lengths of a code for `N` symbols.
pub(super) struct Tree<const N: usize> {
    lengths: [u8; N],
    /// The last symbol that has a code.
    last: usize,
    cost: u32,
}

impl<const N: usize> Tree<N> {
    /// The code for `counts`. None if a code would be longer than `limit`, which zlib mends in its own way.
    pub(super) fn new(counts: &[u16; N], limit: u8) -> Option<Self> {
        let mut heap = Heap::default();
        let mut last = None;
        for (symbol, &count) in counts.iter().enumerate() {
            if count > 0 {
                heap.add(symbol, count);
                last = Some(symbol);
            }
        }
        // zlib makes at least two codes; the symbols for that come at their places after all the others.
        while heap.nodes < 2 {
            let symbol = match last {
                Some(at) if at < 2 => at + 1,
                _ => 0,
            };
            last = Some(last.map_or(symbol, |at| at.max(symbol)));
            heap.add_forced(symbol);
        }
        let (lengths, cost) = heap.lengths::<N>(limit)?;
        Some(Self { lengths, last: last.unwrap_or(0), cost })
    }

    pub(super) fn length(&self, symbol: usize) -> u8 {
        self.lengths[symbol]
    }

    /// Bits of all symbols by this code.
    pub(super) fn cost(&self) -> Cost {
        Cost(self.cost)
    }

    /// Adds the symbols that tell the lengths: a run at a time, as zlib's `scan_tree` makes them.
    pub(super) fn count_lengths(&self, orders: &mut [u16; 19]) {
        let told = &self.lengths[..=self.last];
        let mut at = 0;
        while at < told.len() {
            let length = told[at];
            let run = told[at..].iter().take_while(|&&other| other == length).count();
            at += run;
            if length == 0 {
                count_zeros(run, orders);
            } else {
                count_equal(usize::from(length), run, orders);
            }
        }
    }
}

fn count_zeros(mut run: usize, orders: &mut [u16; 19]) {
    while run > 0 {
        let part = run.min(138);
        match part {
            0..3 => orders[0] += part as u16,
            3..11 => orders[17] += 1,
            _ => orders[18] += 1,
        }
        run -= part;
    }
}

fn count_equal(length: usize, mut run: usize, orders: &mut [u16; 19]) {
    // The first of a run is always told itself.
    let first = run.min(7);
    if first < 4 {
        orders[length] += first as u16;
    } else {
        orders[length] += 1;
        orders[16] += 1;
    }
    run -= first;
    while run > 0 {
        let part = run.min(6);
        if part < 3 {
            orders[length] += part as u16;
        } else {
            orders[16] += 1;
        }
        run -= part;
    }
}

/// zlib's heap. A key holds count and depth, since the shallower of two equal counts comes first.
struct Heap {
    keys: [u32; 2 * MOST],
    /// Symbols of the leaves.
    symbols: [u16; MOST],
    /// Nodes made so far: leaves first.
    nodes: usize,
    /// Leaves that no count asks for.
    forced: usize,
    parents: [u16; 2 * MOST],
}

impl Default for Heap {
    fn default() -> Self {
        Self { keys: [0; 2 * MOST], symbols: [0; MOST], nodes: 0, forced: 0, parents: [0; 2 * MOST] }
    }
}

impl Heap {
    fn add(&mut self, symbol: usize, count: u16) {
        self.keys[self.nodes] = u32::from(count) << 8;
        self.symbols[self.nodes] = symbol as u16;
        self.nodes += 1;
    }

    fn add_forced(&mut self, symbol: usize) {
        self.add(symbol, 1);
        self.forced += 1;
    }

    /// Joins the two least until one is left, then walks down.
    fn lengths<const N: usize>(mut self, limit: u8) -> Option<([u8; N], u32)> {
        let leaves = self.nodes;
        let mut heap = [0_u16; MOST + 1];
        for (at, slot) in heap[1..=leaves].iter_mut().enumerate() {
            *slot = at as u16;
        }
        let mut size = leaves;
        for at in (1..=size / 2).rev() {
            self.sink(&mut heap, at, size);
        }
        while size >= 2 {
            let one = heap[1];
            heap[1] = heap[size];
            size -= 1;
            self.sink(&mut heap, 1, size);
            let other = heap[1];
            let (a, b) = (self.keys[usize::from(one)], self.keys[usize::from(other)]);
            let node = self.nodes;
            self.keys[node] = ((a >> 8) + (b >> 8)) << 8 | ((a & 255).max(b & 255) + 1);
            self.parents[usize::from(one)] = node as u16;
            self.parents[usize::from(other)] = node as u16;
            self.nodes += 1;
            heap[1] = node as u16;
            self.sink(&mut heap, 1, size);
        }
        let mut depths = [0_u8; 2 * MOST];
        let mut lengths = [0; N];
        let mut cost = 0;
        // A node is younger than its children, so that parents come first from behind.
        for node in (0..self.nodes - 1).rev() {
            let depth = depths[usize::from(self.parents[node])] + 1;
            depths[node] = depth;
            if node < leaves {
                if depth > limit {
                    return None;
                }
                lengths[usize::from(self.symbols[node])] = depth;
                cost += u32::from(depth) * (self.keys[node] >> 8);
            }
        }
        // zlib takes the bit of a forced code off again; with two leaves each has length 1.
        Some((lengths, cost - self.forced as u32))
    }

    fn sink(&self, heap: &mut [u16; MOST + 1], mut at: usize, size: usize) {
        let moved = heap[at];
        let key = self.keys[usize::from(moved)];
        let mut child = 2 * at;
        while child <= size {
            let left = self.keys[usize::from(heap[child])];
            let mut least = left;
            if child < size {
                let right = self.keys[usize::from(heap[child + 1])];
                if right <= left {
                    child += 1;
                    least = right;
                }
            }
            if key <= least {
                break;
            }
            heap[at] = heap[child];
            at = child;
            child = 2 * at;
        }
        heap[at] = moved;
    }
}
