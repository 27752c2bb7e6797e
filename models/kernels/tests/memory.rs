//! Memory of attention grows with the number of tokens, not with its square: bytes are counted, not guessed.

use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, backward, forward};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what all threads hold. This file has one test, so nothing else allocates meanwhile.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every request is passed to the system's allocator unchanged, and so are its answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is the one asked for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` holds at most beyond what was held before.
fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = run();
    (result, PEAK.load(Ordering::Relaxed) - before)
}

const HEADS: usize = 4;
const DIM: usize = 16;

/// Bytes of a forward pass with its outputs, and of a backward pass with its gradients.
fn bytes(spec: &AttnSpec, kv_heads: usize, tokens: usize) -> [usize; 2] {
    let [q, k, d_out] = [(HEADS, 1), (kv_heads, 2), (HEADS, 3)].map(|(heads, seed)| {
        (0..tokens * heads * DIM).map(|i| (i * seed % 97) as f32 / 97.0 - 0.5).collect::<Vec<_>>()
    });
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let k = Heads::contiguous(&k, tokens, kv_heads, DIM);
    let kv = Strided { k, v: k, positions: &positions, form: KeyForm::Raw };
    let q = Heads::contiguous(&q, tokens, HEADS, DIM);
    let sequences = [Sequence { rows: 0..tokens, kv: &kv }];
    let ((out, lse), there) = peak(|| {
        let (mut out, mut lse) = (vec![0.0; tokens * HEADS * DIM], vec![0.0; tokens * HEADS]);
        forward(q, &positions, &sequences, spec, None, &mut out, &mut lse);
        (out, lse)
    });
    let (_, back) = peak(|| backward(q, &positions, &sequences, spec, &out, &lse, &d_out, None));
    [there, back]
}

#[test]
fn memory_doubles_when_the_tokens_do() {
    let spec = AttnSpec::new(0.25);
    let alibi = PosRule::Alibi { slopes: Arc::new([0.25, 0.0625, 0.015_625, 0.003_906_25]), cap: None };
    let rotary = Arc::new(Rotary::plain(10_000.0, DIM, RopeStyle::Half));
    let rope = PosRule::Rope { rotary, cap: None };
    let layers = [
        ("encoder", AttnSpec { pos: alibi, ..spec.clone() }, HEADS),
        ("generator", AttnSpec { pos: rope, causal: true, ..spec }, 1),
    ];
    // One thread: how many heads are at work at once is no matter of luck.
    let thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    for (name, spec, kv_heads) in layers {
        let [short, middle, long] =
            [2048, 4096, 8192].map(|tokens| thread.install(|| bytes(&spec, kv_heads, tokens)));
        for (pass, which) in ["forward", "backward"].into_iter().enumerate() {
            for (half, whole) in [(short[pass], middle[pass]), (middle[pass], long[pass])] {
                assert!(whole * 10 <= half * 22, "{name}, {which}: {half} bytes, then {whole}");
            }
            let scores = HEADS * 8192 * 8192 * size_of::<f32>();
            assert!(long[pass] < scores / 64, "{name}, {which}: {} bytes", long[pass]);
        }
    }
}
