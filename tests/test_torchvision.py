"""torchvision imports whether or not its compiled operators load; each case in an interpreter of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# Stand-ins for the two installations, whichever of them this machine has: the import asks for the operator as
# torchvision's own registrations do, and the healthy one brings it along.
FAKE = """
import sys, types, torch
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

class Fake(MetaPathFinder, Loader):
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == "torchvision" else None
    def exec_module(self, module):
        global own
        if {brings!r} and own is None:
            own = torch.library.Library("torchvision", "DEF")
            own.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        if {fails!r}:
            raise RuntimeError({fails!r})
        torch.library.register_fake("torchvision::nms", lambda *a: None)

own = None
sys.meta_path.insert(0, Fake())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=600, check=False
    )


def test_models_and_transforms_work_on_this_machine() -> None:
    done = run("""
        from leuk import _torchvision
        import torch, torchvision
        from torchvision.transforms import v2
        net = torchvision.models.mobilenet_v3_small(weights=None, num_classes=4).eval()
        print(*net(v2.Resize(32)(torch.zeros(1, 3, 64, 64))).shape)
        """)
    assert done.stdout.split() == ["1", "4"], done.stderr


@pytest.mark.parametrize(("brings", "expected"), [(False, "declared"), (True, "left alone")])
def test_operators_are_declared_only_where_they_are_missing(brings: bool, expected: str) -> None:
    done = run(
        FAKE.format(brings=brings, fails="")
        + "from leuk import _torchvision\nprint('declared' if _torchvision.declared else 'left alone')"
    )
    assert done.stdout.strip() == expected, done.stderr


def test_another_failure_is_not_hidden() -> None:
    done = run(FAKE.format(brings=False, fails="out of order") + "from leuk import _torchvision")
    assert done.returncode != 0
    assert "RuntimeError: out of order" in done.stderr


def test_importing_leuk_stays_light() -> None:
    done = run("import leuk, leuk.image, sys; print({'torch', 'torchvision', 'streamlit'} & set(sys.modules))")
    assert done.stdout.strip() == "set()", done.stderr
