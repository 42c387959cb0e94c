"""Memory and speed as a run grows: each size made once on the mock server, made again row by row from its stored
replies alone, written again from what became of its samples, and run once more with nothing to do.

    .venv/bin/python tests/bench/million.py [--rows 100000 1000000] [--dedupe]

Prints rows/s, CPU milliseconds per row, and the resident memory at the end and at its peak. `--dedupe` adds the
near-duplicate gate, whose memory grows with the rows. A million rows take about 4 GB of disk below the temp folder.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path

import uvloop
from throughput import CLIENT_CORE, RECIPE, in_process, keep_to, question, serve


def client(folder: Path, rows: int, offline: bool, pipe) -> None:
    from synth import pipeline
    from synth.recipes.loading import load

    keep_to(CLIENT_CORE)
    loaded = load(folder)
    began, cpu = time.perf_counter(), time.process_time()
    result = uvloop.run(pipeline.run(loaded, pipeline.Options(folder / "run", offline=offline)))
    seconds, spent = time.perf_counter() - began, time.process_time() - cpu
    assert result.manifest.row_count == rows
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    pipe.send((rows / seconds, 1000 * spent / rows, pages * resource.getpagesize() / 2**20, peak))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(".\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dedupe", action="store_true")
    asked = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    server, base_url = in_process(serve, 0.0)
    print(f"{'rows':>9} {'pass':>10} {'rows/s':>8} {'CPU ms/row':>11} {'end MiB':>8} {'peak MiB':>9}")
    for rows in asked.rows:
        folder = Path(tempfile.mkdtemp())
        recipe = RECIPE.format(base_url=base_url, in_flight=256) + "    dedupe: {by: question}\n" * asked.dedupe
        (folder / "recipe.yaml").write_text(recipe)
        (folder / "ask.md.j2").write_text("{{ q }}")
        with (folder / "seeds.jsonl").open("w") as file:
            file.writelines(json.dumps({"q": question(number)}) + "\n" for number in range(rows))
        passes = {
            "bought": (),
            "row by row": ("outcomes.db", "rows.jsonl"),
            "written": ("rows.jsonl",),
            "up to date": (),
        }
        for name, gone in passes.items():
            for one in gone:
                (folder / "run" / one).unlink()  # else there would be less to do, or nothing
            process, figures = in_process(client, folder, rows, name != "bought")
            process.join()
            rate, cpu, end, peak = figures
            print(f"{rows:>9} {name:>10} {rate:>8.0f} {cpu:>11.3f} {end:>8.0f} {peak:>9.0f}", flush=True)
        shutil.rmtree(folder)
    server.terminate()


if __name__ == "__main__":
    main()
