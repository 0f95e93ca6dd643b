"""Parameters, multiply-adds, latency and throughput of all systems in one run on one machine.

    python -m benchmarks.systems [--repeats 5] [--threads 2] [--batch 8] [--out weights/speed.json]

Each system gets what it was made for: its own preprocessing and, as described, its own size of input. Random weights
are as fast as trained ones. Systems take turns within each repeat, so that another process slows all alike; the
fastest turn counts. Ratios to DenseNet-201 (the compared backbone) carry over to other machines; milliseconds don't.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from leuk.classification import to_tensor
from leuk.data.synthetic import generate
from leuk.models.cards import weights_folder
from leuk.models.preprocessing import CELLS
from leuk.models.systems import SYSTEMS, System, build_network, cost
from leuk.training.cell_reader import outline, tiles_of
from leuk.training.systems import present

REFERENCE = "densenet201"
CPU = torch.device("cpu")


def read(network: torch.nn.Module, system: System, pixels: np.ndarray, labels: np.ndarray) -> None:
    with torch.inference_mode():
        if system.preprocessing == CELLS:
            for field in pixels:
                network(to_tensor(tiles_of(field, labels), CPU)).mean(0)
            return
        network(to_tensor(present(pixels, system), CPU))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path, default=weights_folder() / "speed.json")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    one = generate(7, 224, 224, style="pre", cells=12).image.pixels[None]
    many = np.repeat(one, options.batch, axis=0)
    # Cells are outlined before anything reads them.
    labels = outline(one[0])
    networks = {
        name: build_network(system).eval().to(memory_format=torch.channels_last) for name, system in SYSTEMS.items()
    }
    times: dict[str, dict[str, list[float]]] = {name: {"one": [], "many": []} for name in SYSTEMS}
    for turn in range(options.repeats + 1):
        for name, system in SYSTEMS.items():
            for kind, pixels in (("one", one), ("many", many)):
                began = time.perf_counter()
                read(networks[name], system, pixels, labels)
                if turn:  # the first turn warms up
                    times[name][kind].append(time.perf_counter() - began)
    latency = {name: min(found["one"]) for name, found in times.items()}
    rate = {name: options.batch / min(found["many"]) for name, found in times.items()}
    told: dict[str, Any] = {}
    print(f"{'system':<24}{'parameters':>12}{'mult-adds':>11}{'ms':>9}{'ratio':>8}{'fields/s':>10}{'ratio':>8}")
    for name, system in SYSTEMS.items():
        parameters, multiply_adds = cost(system)
        told[name] = {
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "size": system.size,
            "latency_ms": round(1000 * latency[name], 2),
            "latency_ratio": round(latency[name] / latency[REFERENCE], 4),
            "throughput": round(rate[name], 2),
            "throughput_ratio": round(rate[name] / rate[REFERENCE], 3),
        }
        row = told[name]
        print(
            f"{name:<24}{parameters:>12,}{multiply_adds / 1e9:>10.2f}G{row['latency_ms']:>9.1f}"
            f"{row['latency_ratio']:>8.3f}{row['throughput']:>10.1f}{row['throughput_ratio']:>8.2f}"
        )
    content = {
        "machine": f"{options.threads} threads of {platform.machine()}, torch {torch.__version__}",
        "batch": options.batch,
        "repeats": options.repeats,
        "reference": REFERENCE,
        "systems": told,
    }
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
