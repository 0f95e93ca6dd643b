"""Time from a file's bytes to its heat maps, beside a DenseNet-201 forward pass in the same run.

    python -m benchmarks.reading [--repeats 7] [--threads 2]

Prints, for a 224 x 224 field and a 5-megapixel field (both synthetic), the median over the repeats of each stage and of
the whole, also as a multiple of the DenseNet-201 pass. The ratios carry over to other machines; the seconds don't.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import torch

from leuk._torchvision import torchvision
from leuk.analysis import analyze
from leuk.classification import classify, prepare
from leuk.data.synthetic import generate
from leuk.explanation import explain
from leuk.image import SmearImage, read_image
from leuk.models.store import load_model
from leuk.segmentation import segment


def median_time(work: Callable[[], object], repeats: int) -> float:
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def as_jpeg(image: SmearImage) -> bytes:
    return cv2.imencode(".jpg", image.pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)

    model = load_model("reader", "cpu")
    densenet = torchvision.models.densenet201(weights=None).eval()
    picture = torch.rand(1, 3, 224, 224)

    def reference() -> None:
        with torch.inference_mode():
            densenet(picture)

    fields = {
        "224 x 224": as_jpeg(generate(7, 224, 224, style="pre", cells=12).image),
        "2592 x 1944": as_jpeg(generate(7, 2592, 1944, style="camera", cells=60).image),
    }
    unit = median_time(reference, options.repeats)
    print(f"DenseNet-201, one 224 x 224 forward pass: {unit:.3f} s = 1")
    for name, data in fields.items():
        image = read_image(data, "field.jpg")
        segmentation = segment(image)
        view = prepare(image, segmentation, model.card)
        stages: dict[str, Callable[[], object]] = {
            "decode": lambda data=data: read_image(data, "field.jpg"),
            "cells": lambda image=image: segment(image),
            "reading": lambda image=image, found=segmentation, view=view: classify(model, image, found, view),
            "four heat maps": lambda found=segmentation, view=view: explain(model, view, found, "hirescam"),
            "all, from bytes": lambda data=data: analyze(
                read_image(data, "field.jpg"), model=model, explain="hirescam"
            ),
        }
        print(f"{name}, {len(segmentation.cells)} cells, {len(view.tiles)} tiles")
        for stage, work in stages.items():
            seconds = median_time(work, options.repeats)
            print(f"  {stage:<16} {seconds:7.3f} s   {seconds / unit:6.2f} of DenseNet-201")


if __name__ == "__main__":
    main()
