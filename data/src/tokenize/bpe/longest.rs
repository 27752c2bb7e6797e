use super::merges::{Merges, NONE};

/// Finds the longest token at a place, and the next shorter one.
pub(super) struct Longest {
    /// The longest token that another one starts with.
    shorter: Vec<u32>,
    /// Letters that may merge.
    letters: usize,
    /// Where each letter leads from each node of the tree of all tokens, 0 for nowhere; the root is node 0.
    next: Vec<u32>,
    /// The token that ends at each node.
    tokens: Vec<u32>,
    /// For the four bases: what 8 of them lead to, the longest token among their beginnings and the node, 0 for none.
    eight: Option<Vec<(u32, u32)>>,
}

/// Bases that are looked up together.
pub(super) const TOGETHER: usize = 8;

impl Longest {
    /// Of tokens that are `reachable`. `dna` is set when the letters are `A C T G`, in this order.
    pub(super) fn new(merges: &Merges, reachable: &[bool], letters: usize, dna: bool) -> Self {
        let mut tree =
            Self { shorter: Vec::new(), letters, next: vec![0; letters], tokens: vec![NONE], eight: None };
        let mut spelled = Vec::new();
        for token in (0..merges.len() as u32).filter(|&token| reachable[token as usize]) {
            spelled.clear();
            merges.spell(token, &mut spelled);
            let mut node = 0;
            for &letter in &spelled {
                let edge = node * letters + usize::from(letter);
                if tree.next[edge] == 0 {
                    tree.next[edge] = tree.tokens.len() as u32;
                    tree.tokens.push(NONE);
                    tree.next.extend(std::iter::repeat_n(0, letters));
                }
                node = tree.next[edge] as usize;
            }
            tree.tokens[node] = token;
        }
        tree.shorter = (0..merges.len() as u32)
            .map(|token| {
                spelled.clear();
                merges.spell(token, &mut spelled);
                spelled.pop();
                tree.walk(tree.letters, 0, NONE, spelled.iter().copied()).0
            })
            .collect();
        if dna {
            let eight = |bases: u32| {
                let letters = (0..TOGETHER).map(|at| (bases >> (2 * at) & 3) as u8);
                let (token, depth, node) = tree.walk(tree.letters, 0, NONE, letters);
                (token, if depth == TOGETHER && tree.leads_on(node) { node as u32 } else { 0 })
            };
            tree.eight = Some((0..1 << (2 * TOGETHER)).map(eight).collect());
        }
        tree
    }

    fn leads_on(&self, node: usize) -> bool {
        self.next[node * self.letters..][..self.letters].iter().any(|&next| next != 0)
    }

    /// Follows letters from a node: the last token met, how many letters were followed, and the node. `width` is the number of
    /// letters that there are, where it is known a constant.
    #[inline(always)]
    fn walk(
        &self,
        width: usize,
        node: usize,
        token: u32,
        letters: impl Iterator<Item = u8>,
    ) -> (u32, usize, usize) {
        let (mut node, mut token, mut depth) = (node, token, 0);
        for letter in letters {
            let next = self.next[node * width + usize::from(letter)] as usize;
            if next == 0 {
                break;
            }
            node = next;
            depth += 1;
            let here = self.tokens[node];
            token = if here == NONE { token } else { here };
        }
        (token, depth, node)
    }

    /// The next shorter token that begins as `token` does.
    #[inline(always)]
    pub(super) fn shorter(&self, token: u32) -> u32 {
        self.shorter[token as usize]
    }

    /// The longest token at the start of `letters`.
    pub(super) fn of_letters(&self, letters: &[u8]) -> u32 {
        self.walk(self.letters, 0, NONE, letters.iter().copied()).0
    }

    pub(super) fn is_dna(&self) -> bool {
        self.eight.is_some()
    }

    /// The same for bases of two bits. It may reach beyond the end of the text.
    #[inline(always)]
    pub(super) fn of_bases(&self, bases: &Bases, at: usize) -> u32 {
        let eight = self.eight.as_deref().unwrap_or_default();
        let window = bases.window(at);
        let (token, node) = eight[(window & 0xffff) as usize];
        if node == 0 { token } else { self.beyond(bases, at, window, node as usize, token) }
    }

    fn beyond(&self, bases: &Bases, at: usize, window: u64, node: usize, token: u32) -> u32 {
        let inside = (TOGETHER..Bases::WINDOW).map(|place| (window >> (2 * place) & 3) as u8);
        let (token, depth, node) = self.walk(4, node, token, inside);
        if depth < Bases::WINDOW - TOGETHER {
            return token;
        }
        // Tokens may be of any length.
        let outside = (at + Bases::WINDOW..bases.len()).map(|place| (bases.window(place) & 3) as u8);
        self.walk(4, node, token, outside).0
    }
}

/// Bases in two bits each, the first one lowest: `A C T G` as bits 1 and 2 of the letters have them.
#[derive(Default)]
pub(super) struct Bases {
    bytes: Vec<u8>,
    length: usize,
}

impl Bases {
    /// Bases in a window.
    pub(super) const WINDOW: usize = 29;

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Takes the bases that a text starts with, until another letter.
    pub(super) fn read(&mut self, text: &[u8]) {
        self.bytes.clear();
        let (blocks, _) = text.as_chunks::<8>();
        let mut count = 0;
        for block in blocks {
            let letters = u64::from_le_bytes(*block);
            let codes = letters >> 1 & 0x0303_0303_0303_0303;
            // The letter that each code stands for; T does not follow the rule of the others.
            let thymine = codes >> 1 & !codes & 0x0101_0101_0101_0101;
            if (0x4141_4141_4141_4141 | codes << 1) ^ (thymine * 0x11) != letters {
                break;
            }
            let pairs = (codes | codes >> 6) & 0x000f_000f_000f_000f;
            let fours = (pairs | pairs >> 12) & 0x0000_00ff_0000_00ff;
            self.bytes.extend_from_slice(&((fours | fours >> 24) as u16).to_le_bytes());
            count += 8;
        }
        self.length = count;
        let mut last = 0_u16;
        for (place, &letter) in text[count..].iter().take(8).enumerate() {
            if !matches!(letter, b'A' | b'C' | b'G' | b'T') {
                break;
            }
            last |= u16::from(letter >> 1 & 3) << (2 * place);
            self.length += 1;
        }
        self.bytes.extend_from_slice(&last.to_le_bytes());
        // A window may reach beyond the end.
        self.bytes.extend_from_slice(&[0; 8]);
    }

    /// 29 bases from `at` on; zeros beyond the end.
    #[inline(always)]
    pub(super) fn window(&self, at: usize) -> u64 {
        let bytes = self.bytes[at / 4..].first_chunk().expect("eight bytes follow the last base");
        u64::from_le_bytes(*bytes) >> (at % 4 * 2)
    }
}
