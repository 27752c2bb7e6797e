//! Attention and its gradients take memory in proportion to the length, not to its square.

use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, backward, forward};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which remembers the most bytes held at once.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Most bytes held at once by forward and backward of a causal sequence, inputs and results included.
fn peak(rows: usize) -> usize {
    let (heads, kv_heads, dim) = (2, 1, 8);
    PEAK.store(HELD.load(Relaxed), Relaxed);
    let before = HELD.load(Relaxed);
    let numbers = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
    let (q, kv, d_out) =
        (numbers(rows * heads * dim), numbers(rows * kv_heads * dim), numbers(rows * heads * dim));
    let positions: Vec<u32> = (0..rows as u32).collect();
    let keys = Heads::contiguous(&kv, rows, kv_heads, dim);
    let view = Strided { k: keys, v: keys, positions: &positions, form: KeyForm::Raw };
    let (q, sequences) = (Heads::contiguous(&q, rows, heads, dim), [Sequence { rows: 0..rows, kv: &view }]);
    let pos = PosRule::Alibi { slopes: vec![0.25, 0.125].into(), cap: None };
    let spec = AttnSpec { causal: true, pos, ..AttnSpec::new(0.3) };
    let (mut out, mut lse) = (vec![0.0; d_out.len()], vec![0.0; rows * heads]);
    forward(q, &positions, &sequences, &spec, None, &mut out, &mut lse);
    let gradients = backward(q, &positions, &sequences, &spec, &out, &lse, &d_out, None);
    assert!(gradients.dq.iter().all(|x| x.is_finite()));
    PEAK.load(Relaxed) - before
}

#[test]
fn eight_times_the_length_takes_about_eight_times_the_memory() {
    peak(1024); // threads and tables that come once
    let (short, long) = (peak(2048), peak(16_384));
    assert!(long < 10 * short, "{short} bytes for 2048 rows, {long} for 16384");
}
