"""Operations through Python's libraries: `serve` for the Rust program, an operation for a run of its own."""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

SHAPES = json.loads((Path(__file__).parent / "shapes.json").read_text())
# A turn: long against the clock, short against what disturbs it. Rounds at least.
TURN_SECONDS, LEAST_ROUNDS = 1e-3, 5


CLOCK = time.perf_counter


def seconds_of(contestant, runs):
    run = contestant.run
    start = CLOCK()
    for _ in range(runs):
        run()
    return CLOCK() - start


def serve(here, notes):
    """Answers a line of JSON with a line of JSON, to the end of the input."""
    import libraries

    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is no answer
    print(json.dumps({"versions": [library.version for library in here], "notes": notes}), file=answers, flush=True)
    list_of = []
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            list_of.clear()
            list_of = libraries.contestants(here, request["op"], request["shape"])
            answer = [contestant.described for contestant in list_of]
        elif request["do"] == "sample":
            contestant = list_of[request["contestant"]]
            contestant.run()
            answer = contestant.result()[request["at"]].astype(float).tolist()
        else:
            answer = seconds_of(list_of[request["contestant"]], request["runs"])
        print(json.dumps(answer), file=answers, flush=True)


def runs_a_turn(contestant):
    seconds_of(contestant, 1)
    runs = 1
    while (seconds := seconds_of(contestant, runs)) < TURN_SECONDS / 2:
        runs *= 2
    return max(1, int(runs * TURN_SECONDS / seconds))


def interleaved(list_of, seconds):
    """Seconds a run of each contestant in each round."""
    runs = [runs_a_turn(contestant) for contestant in list_of]
    samples = [[] for _ in list_of]
    start = time.perf_counter()
    while len(samples[0]) < LEAST_ROUNDS or time.perf_counter() - start < seconds:
        for contestant, runs_of_it, times in zip(list_of, runs, samples):
            if runs_of_it > 1:
                seconds_of(contestant, math.ceil(runs_of_it / 8))
            times.append(seconds_of(contestant, runs_of_it) / runs_of_it)
    return samples


def rows(here, op, name, arguments):
    import libraries

    shape, work = libraries.parse(op, name)
    list_of = libraries.contestants(here, op, shape)
    for contestant, times in zip(list_of, interleaved(list_of, arguments.seconds) if list_of else []):
        row = {"op": op, "shape": name, "contestant": contestant.described["name"], "ours": False}
        row |= {key: contestant.described[key] for key in ("activations", "weights", "bytes")}
        row |= {"median": statistics.median(times), "best": min(times), "rounds": len(times)}
        yield row | {"work": work, "peak": None, "read": None}


def roofs(arguments):
    """The machine and its roofs, now, by the Rust program; nothing without it."""
    if not arguments.roofs:
        return {"cpu": "", "threads": arguments.threads, "peak": 0.0, "read": 0.0, "versions": []}
    command = [arguments.roofs, "roofs", "--threads", str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def run(here, notes, arguments):
    """Every shape; the peak is the mean of one measured before a shape and one after it."""
    out, before = [], roofs(arguments)
    for name in (name for name in SHAPES[arguments.do] if arguments.filter in name):
        print(arguments.do, name, file=sys.stderr)
        of_shape, after = list(rows(here, arguments.do, name, arguments)), roofs(arguments)
        if arguments.roofs:
            of_shape = [row | {"peak": (before["peak"] + after["peak"]) / 2 * 1e9} for row in of_shape]
        out, before = out + of_shape, after
    machine = before | {"versions": [library.version for library in here]}
    arguments.json.write_text(json.dumps({"machine": machine, "notes": notes, "rows": out}, indent=2))


def environment(threads):
    """What libraries read when they load."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    # Settings that hold OpenBLAS to the kernels of another CPU, so that it can be seen at its best here.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("do", choices=["serve", *SHAPES])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor-time", action="store_true", help="the processor's time instead of the wall's")
    parser.add_argument("--seconds", type=float, default=4.0, help="a shape, shared by its contestants")
    parser.add_argument("--filter", default="", help="only shapes whose name contains this")
    parser.add_argument("--roofs", help="the Rust program, to measure the peak with")
    parser.add_argument("--json", type=Path, default=Path("peers-python.json"), help="the report")
    arguments = parser.parse_args()
    global CLOCK
    CLOCK = time.process_time if arguments.processor_time else CLOCK
    environment(arguments.threads)
    try:
        import libraries
    except ImportError as error:
        sys.exit(f"peers.py: {error}; pip install -r benches/peers/requirements.txt")
    here, notes = libraries.libraries(arguments.threads)
    serve(here, notes) if arguments.do == "serve" else run(here, notes, arguments)


if __name__ == "__main__":
    main()
