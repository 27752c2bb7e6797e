"""What every peer script does: its arguments, a limit on memory, the clock, and one JSON line."""

import argparse
import json
import resource
import statistics
import time

import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def numbers(count):
    """An argument of `count` numbers, as in 8x512; any number of them if `count` is None."""

    def parse(text):
        values = [int(part) for part in text.split("x")]
        if count is not None and len(values) != count:
            raise argparse.ArgumentTypeError(f"{text}: expected {count} numbers separated by x")
        return values

    return parse


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=1, help="runs before the clock starts")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median is taken")
    parser.add_argument("--memory-gib", type=float, default=18, help="memory beyond what importing torch maps")
    return parser


def report(args, what, prepare, jobs=1):
    """Times `prepare()()`, which does `jobs` jobs, and prints the line; running out of memory is a result, not a crash."""
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    torch.manual_seed(42)
    limit_memory(args.memory_gib)
    line = {"peer": f"torch {torch.__version__}", **what, "dtype": args.dtype, "threads": args.threads}
    try:
        with torch.inference_mode():
            line["seconds"] = median_seconds(prepare(), args.warm_up, args.repeats) / jobs
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        line["seconds"] = None
        line["error"] = "out of memory"
    line["repeats"] = args.repeats
    line["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(line))


def median_seconds(run, warm_up, repeats):
    for _ in range(warm_up):
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def limit_memory(gib):
    # torch maps gigabytes of library files that it never touches: they do not count.
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    limit = mapped + int(gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
