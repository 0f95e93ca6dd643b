import pytest
import torch

from leuk.cells import TYPES
from leuk.cells.network import CellNetwork
from leuk.cells.store import CellCard, save_cells


@pytest.fixture(scope="session")
def cell_weights(tmp_path_factory):
    """A folder with a cut-down classifier of cells: real networks, random weights, their card beside them."""
    torch.manual_seed(3)
    arguments = {
        "types": {"classes": 8, "widths": [8, 8, 16, 16]},
        "blasts": {"classes": 2, "widths": [8, 8, 16, 16]},
    }
    networks = {which: CellNetwork(**given) for which, given in arguments.items()}
    for network in networks.values():
        network.head[2].weight.data *= 60  # sure of itself, so that types differ
    folder = tmp_path_factory.mktemp("cell-weights")
    card = CellCard(
        name="cells",
        title="Cut-down classifier",
        kind="cells",
        types=TYPES,
        arguments=arguments,
        temperatures={"types": 1.0, "blasts": 1.0},
        sha256="",
        confident=0.2,
    )
    save_cells(folder, card, networks)
    return folder
