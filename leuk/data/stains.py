"""How smears look: named staining and camera styles, and the kinds of white cell, for synthetic fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class StainStyle:
    """A stain, a camera and a slide, as they show in the picture.

    Colours are RGB, 0 … 255 (above 255 for an overexposed background), as seen through one typical layer on the bare
    slide; they are turned into optical densities against `background`, so that layers lying on each other darken as
    they do on a slide.

    Attributes
    ----------
    name : str
        Key in `STYLES`.
    title : str
        A few words for a screen.
    background, nucleus, cytoplasm, granular, red_cell, smudge : tuple of float
        Colours of the bare slide, a typical nucleus, basophilic cytoplasm, acidophilic (granular) cytoplasm, the
        thick part of a red cell, and a ruptured nucleus.
    kinds : tuple of str
        Kinds of white cell that a field of this style holds unless told otherwise; repeated names weigh more.
    cells : int
        White cells in a field unless told otherwise.
    field_in_cells : float
        Short side of the field in white-cell diameters, unless the diameter is told.
    red_cell_size : float
        Diameter of a red cell in white-cell diameters.
    red_cover : float
        Share of the free slide that red cells would cover if none overlapped, 0 … 1.5.
    pallor : float
        Depth of the central pallor of red cells, 0 (flat) … 1 (bare centre); varies from cell to cell.
    pallor_size : float
        Radius of the pallor over that of the red cell, 0 … 1.
    rouleaux : float
        Chance that a red cell follows another in a chain, 0 … 1.
    crenation : float
        Share of red cells with a scalloped edge, 0 … 1.
    red_spread : float
        How much red cells differ in density, standard deviation of its logarithm.
    aspect : float
        Width over height of a round cell: below 1 where a photograph was squeezed into a square.
    vignette : tuple of float
        Light lost in the corners, per channel R, G, B, 0 … 1.
    gradient : float
        Largest slope of the light from one side to the other, 0 … 1.
    contrast : float
        Strength of the chromatin's texture, 1 as typical.
    blur : float
        Standard deviation of the focus blur in white-cell diameters.
    halo : float
        Strength of the camera's edge sharpening, 0 (none) … 1.
    noise : float
        Standard deviation of the sensor noise in grey levels.
    jpeg_quality : int
        Quality of the JPEG compression the picture went through, 1 … 100; 0 for none.
    platelets, precipitate, smudges : float
        Expected number per hundred white-cell areas of slide: platelets, grains of stain, ruptured cells.
    """

    name: str
    title: str
    background: Rgb
    nucleus: Rgb
    cytoplasm: Rgb
    granular: Rgb
    red_cell: Rgb
    smudge: Rgb
    kinds: tuple[str, ...]
    cells: int = 8
    field_in_cells: float = 9.0
    red_cell_size: float = 0.66
    red_cover: float = 0.45
    pallor: float = 0.5
    pallor_size: float = 0.45
    rouleaux: float = 0.3
    crenation: float = 0.0
    red_spread: float = 0.12
    aspect: float = 1.0
    vignette: Rgb = (0.08, 0.08, 0.05)
    gradient: float = 0.03
    contrast: float = 1.0
    blur: float = 0.018
    halo: float = 0.2
    noise: float = 2.0
    jpeg_quality: int = 88
    platelets: float = 3.0
    precipitate: float = 1.0
    smudges: float = 0.5


@dataclass(frozen=True)
class CellKind:
    """What a kind of white cell looks like under the microscope.

    Attributes
    ----------
    name : str
        Key in `KINDS`.
    title : str
        A few words for a screen.
    size, size_spread : float
        Mean diameter over the field's white-cell diameter, and its standard deviation.
    nc_ratio, nc_spread : float
        Nucleus area over cell area, mean and standard deviation.
    density : float
        Optical density of the nucleus over the style's typical one.
    irregularity : float
        Roughness of the nucleus's outline, 0 (round) … 1.
    outline : float
        Roughness of the cell's outline, 0 (round) … 1.
    indentation : float
        Depth of a cleft in the nucleus, 0 (none) … 1 (kidney shape).
    lobes : tuple of int
        Fewest and most lobes of the nucleus.
    clumping : float
        Chromatin from fine (0) to coarsely clumped (1).
    texture : float
        Contrast of the chromatin, as a share of its optical density.
    nucleoli : tuple of int
        Fewest and most nucleoli.
    basophilia : float
        Cytoplasm from acidophilic and granular (0) to deeply blue (1).
    cytoplasm_density : float
        Optical density of the cytoplasm over the style's typical one.
    vacuoles : tuple of int
        Fewest and most vacuoles.
    """

    name: str
    title: str
    size: float
    size_spread: float
    nc_ratio: float
    nc_spread: float
    density: float = 1.0
    irregularity: float = 0.2
    outline: float = 0.2
    indentation: float = 0.0
    lobes: tuple[int, int] = (1, 1)
    clumping: float = 0.4
    texture: float = 0.13
    nucleoli: tuple[int, int] = (0, 0)
    basophilia: float = 0.8
    cytoplasm_density: float = 1.0
    vacuoles: tuple[int, int] = (0, 0)


_KINDS = (
    CellKind("hematogone", "Hematogone-like", 0.66, 0.09, 0.90, 0.02, density=1.2, irregularity=0.25, outline=0.3,
             clumping=0.55, texture=0.09),
    CellKind("precursor", "Large precursor", 1.35, 0.15, 0.72, 0.05, density=0.8, irregularity=0.3, outline=0.35,
             clumping=0.35, texture=0.16, nucleoli=(1, 3), basophilia=0.95, vacuoles=(0, 5)),
    CellKind("early_blast", "Early Pre-B-like blast", 0.98, 0.11, 0.87, 0.03, density=1.05, irregularity=0.25,
             outline=0.2, clumping=0.4, nucleoli=(0, 2)),
    CellKind("pre_blast", "Pre-B-like blast", 1.0, 0.14, 0.86, 0.04, irregularity=0.3, outline=0.25, clumping=0.35,
             texture=0.15, nucleoli=(0, 2), basophilia=1.0, cytoplasm_density=1.1),
    CellKind("pro_blast", "Pro-B-like blast", 0.95, 0.09, 0.91, 0.02, density=0.95, irregularity=0.3, outline=0.25,
             indentation=0.1, clumping=0.25, texture=0.12, nucleoli=(0, 1)),
    CellKind("lymphocyte", "Lymphocyte", 0.8, 0.06, 0.78, 0.06, density=1.15, irregularity=0.25, clumping=0.85,
             texture=0.16, basophilia=0.75, cytoplasm_density=0.7),
    CellKind("monocyte", "Monocyte", 1.3, 0.1, 0.48, 0.05, density=0.85, irregularity=0.35, outline=0.4,
             indentation=0.8, clumping=0.6, texture=0.2, basophilia=0.6, cytoplasm_density=0.8, vacuoles=(0, 4)),
    CellKind("neutrophil", "Segmented neutrophil", 1.05, 0.06, 0.31, 0.03, density=1.15, irregularity=0.3,
             lobes=(3, 5), clumping=0.9, texture=0.18, basophilia=0.05, cytoplasm_density=0.8),
)
KINDS: Mapping[str, CellKind] = MappingProxyType({kind.name: kind for kind in _KINDS})

_STYLES = (
    StainStyle(
        "benign", "Purple-pink marrow, cream background", background=(254, 258, 246), nucleus=(152, 110, 246),
        cytoplasm=(176, 186, 250), granular=(218, 196, 248), red_cell=(202, 210, 224), smudge=(216, 164, 246),
        kinds=("hematogone",) * 4 + ("precursor",) * 2 + ("lymphocyte", "neutrophil"), cells=8,
        field_in_cells=8.0, red_cell_size=0.63, red_cover=0.62, pallor=0.35, pallor_size=0.5, rouleaux=0.45,
        crenation=0.3, red_spread=0.25, aspect=0.86, vignette=(0.10, 0.13, 0.03), contrast=1.1, blur=0.022,
        halo=0.35, noise=1.6, platelets=5, precipitate=8, smudges=0.6,
    ),
    StainStyle(
        "early", "Violet cells, grey red cells", background=(253, 262, 252), nucleus=(160, 128, 249),
        cytoplasm=(168, 178, 251), granular=(212, 196, 248), red_cell=(188, 200, 226), smudge=(228, 186, 246),
        kinds=("early_blast",) * 8 + ("lymphocyte",), cells=7, field_in_cells=8.3, red_cell_size=0.64,
        red_cover=0.52, pallor=0.3, pallor_size=0.4, rouleaux=0.6, crenation=0.25, red_spread=0.17, aspect=0.88,
        vignette=(0.14, 0.14, 0.03), contrast=0.8, blur=0.024, halo=0.3, noise=1.5, platelets=3, precipitate=16,
        smudges=0.5,
    ),
    StainStyle(
        "pre", "Blue slide, violet cells", background=(250, 262, 254), nucleus=(164, 144, 252),
        cytoplasm=(156, 184, 252), granular=(208, 198, 250), red_cell=(158, 186, 240), smudge=(226, 202, 249),
        kinds=("pre_blast",) * 9 + ("hematogone", "lymphocyte"), cells=18, field_in_cells=7.5, red_cell_size=0.62,
        red_cover=0.62, pallor=0.75, pallor_size=0.5, rouleaux=0.45, red_spread=0.22, aspect=0.87,
        vignette=(0.20, 0.18, 0.05), contrast=0.8, blur=0.024, halo=0.45, noise=1.4, platelets=2, precipitate=0.5,
        smudges=2,
    ),
    StainStyle(
        "pro", "Pale pink cells, grey red cells", background=(258, 262, 249), nucleus=(220, 172, 251),
        cytoplasm=(216, 206, 251), granular=(228, 212, 250), red_cell=(200, 210, 228), smudge=(242, 212, 249),
        kinds=("pro_blast",) * 8 + ("lymphocyte",), cells=5, field_in_cells=8.8, red_cell_size=0.66,
        red_cover=0.44, pallor=0.85, pallor_size=0.38, rouleaux=0.25, red_spread=0.28, aspect=0.82,
        vignette=(0.09, 0.12, 0.02), contrast=1.0, blur=0.026, halo=0.4, noise=1.3, platelets=0.5,
        precipitate=0.3, smudges=0.3,
    ),
    StainStyle(
        "camera", "Tan and mauve camera field", background=(184, 179, 163), nucleus=(102, 64, 138),
        cytoplasm=(116, 118, 162), granular=(164, 146, 152), red_cell=(173, 143, 127), smudge=(164, 122, 152),
        kinds=("early_blast",) * 4 + ("pre_blast",) * 4 + ("lymphocyte", "neutrophil"), cells=40,
        field_in_cells=15, red_cell_size=0.62, red_cover=0.6, pallor=0.5, pallor_size=0.42, rouleaux=0.15,
        vignette=(0.25, 0.25, 0.26), gradient=0.08, contrast=0.6, blur=0.012, halo=0.35, noise=2.5,
        jpeg_quality=92, platelets=2.5, precipitate=0.2, smudges=0.9,
    ),
    StainStyle(
        "lilac", "Lilac nuclei, brownish red cells", background=(206, 208, 205), nucleus=(126, 96, 204),
        cytoplasm=(160, 154, 204), granular=(184, 162, 194), red_cell=(186, 160, 158), smudge=(184, 154, 206),
        kinds=("neutrophil",) * 5 + ("lymphocyte",) * 3 + ("monocyte",), cells=1, field_in_cells=4.3,
        red_cell_size=0.8, red_cover=0.75, pallor=0.65, pallor_size=0.42, rouleaux=0.45, red_spread=0.25,
        vignette=(0.06, 0.06, 0.06), contrast=0.9, blur=0.02, halo=0.35, noise=1.5, jpeg_quality=85, platelets=8,
        precipitate=0.5, smudges=0,
    ),
    StainStyle(
        "peach", "Peach slide, plum nuclei", background=(248, 218, 194), nucleus=(100, 50, 138),
        cytoplasm=(150, 128, 178), granular=(200, 164, 180), red_cell=(222, 146, 134), smudge=(200, 130, 160),
        kinds=("neutrophil",) * 3 + ("lymphocyte",) * 2 + ("monocyte", "early_blast"), cells=1, field_in_cells=2.1,
        red_cell_size=0.62, red_cover=0.6, pallor=0.3, pallor_size=0.45, rouleaux=0.1, vignette=(0.04, 0.05, 0.05),
        contrast=0.9, blur=0.01, halo=0.2, noise=1.5, jpeg_quality=92, platelets=4, precipitate=1.0, smudges=0,
    ),
    StainStyle(
        "yellow", "Yellow slide, wine-red nuclei", background=(262, 254, 172), nucleus=(106, 24, 92),
        cytoplasm=(166, 118, 118), granular=(204, 152, 124), red_cell=(250, 236, 146), smudge=(196, 120, 120),
        kinds=("neutrophil",) * 3 + ("lymphocyte",) * 2 + ("monocyte",), cells=1, field_in_cells=1.75,
        red_cell_size=0.7, red_cover=0.5, pallor=0.9, pallor_size=0.75, rouleaux=0.2, red_spread=0.4,
        vignette=(0.03, 0.05, 0.15), contrast=1.2, blur=0.018, halo=0.3, noise=1.8, jpeg_quality=90, platelets=3,
        precipitate=0.5, smudges=0,
    ),
)
STYLES: Mapping[str, StainStyle] = MappingProxyType({style.name: style for style in _STYLES})
