"""What can be bought and what is asked for: materials, plate stock, bolts and the numbered design problems.

The figures are the nominal values of the standards named beside them. Prices are round trade prices, used
only to rank materials. This module knows neither geometry nor stress.
"""

import random
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """A frozen, strict record: what a tool takes or returns."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Material(Fact):
    """A plate material with its design values.

    `welded_yield_mpa` is the yield strength that remains beside a weld (EN 1999-1-1 table 3.2a, `f_o,haz`,
    for aluminium; steel keeps its own). `bend_ratio_min` is the least inside radius of a cold bend as a
    multiple of the thickness: a workshop rule, on the safe side of the tables by thickness in EN 10025-2 and
    EN 485-2.
    """

    name: str
    standard: str
    yield_mpa: float
    welded_yield_mpa: float
    ultimate_mpa: float
    young_mpa: float
    poisson: float
    density_kg_m3: float
    bend_ratio_min: float
    price_eur_kg: float


class Plate(Fact):
    """One thickness in which a material is stocked."""

    material: str
    thickness_mm: float


class Bolt(Fact):
    """A bolt with its clearance hole and washer.

    Stress area: ISO 898-1. Strength: EN 1993-1-8 table 3.1. Clearance hole: ISO 273, medium series. Washer:
    ISO 7089. Width across flats: ISO 4017.
    """

    name: str
    diameter_mm: float
    stress_area_mm2: float
    hole_mm: float
    washer_mm: float
    across_flats_mm: float
    ultimate_mpa: float
    shear_factor: float


class CatalogueAnswer(Fact):
    """What the catalogue holds for one query; only the list of the asked kind is filled."""

    query: str
    materials: tuple[Material, ...] = ()
    plates: tuple[Plate, ...] = ()
    bolts: tuple[Bolt, ...] = ()


class NotInCatalogue(LookupError):
    """The catalogue has no entry of that name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        """Say what was asked for and what there is instead."""
        super().__init__(f"no {kind} is called {name!r}; choose one of: {', '.join(known)}")
        self.kind = kind
        self.name = name


MATERIALS = tuple(
    Material(
        name=name,
        standard=standard,
        yield_mpa=yield_mpa,
        welded_yield_mpa=welded_mpa,
        ultimate_mpa=ultimate_mpa,
        young_mpa=young_mpa,
        poisson=0.3,
        density_kg_m3=density,
        bend_ratio_min=bend_ratio,
        price_eur_kg=price,
    )
    for name, standard, yield_mpa, welded_mpa, ultimate_mpa, young_mpa, density, bend_ratio, price in (
        ("S235JR", "EN 10025-2", 235.0, 235.0, 360.0, 210_000.0, 7850.0, 1.0, 1.1),
        ("S355J2", "EN 10025-2", 355.0, 355.0, 470.0, 210_000.0, 7850.0, 1.5, 1.3),
        ("1.4301", "EN 10088-2", 210.0, 210.0, 520.0, 200_000.0, 7900.0, 1.0, 4.2),
        ("AW-5083-H111", "EN 485-2", 125.0, 125.0, 275.0, 70_000.0, 2660.0, 1.5, 5.5),
        ("AW-6082-T6", "EN 485-2", 255.0, 125.0, 300.0, 70_000.0, 2700.0, 3.0, 5.0),
    )
)
"""Strengths for plate up to 12.5 mm; elastic constants from EN 1993-1-1, EN 1993-1-4 and EN 1999-1-1."""

STEEL_STOCK_MM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0)
ALUMINIUM_STOCK_MM = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)
STOCK_MM = {
    material.name: ALUMINIUM_STOCK_MM if material.name.startswith("AW-") else STEEL_STOCK_MM
    for material in MATERIALS
}

BOLTS = tuple(
    Bolt(
        name=f"M{diameter:.0f} {grade}",
        diameter_mm=diameter,
        stress_area_mm2=area,
        hole_mm=hole,
        washer_mm=washer,
        across_flats_mm=flats,
        ultimate_mpa=ultimate_mpa,
        shear_factor=shear_factor,
    )
    for grade, ultimate_mpa, shear_factor in (("8.8", 800.0, 0.6), ("10.9", 1000.0, 0.5))
    for diameter, area, hole, washer, flats in (
        (6.0, 20.1, 6.6, 12.0, 10.0),
        (8.0, 36.6, 9.0, 16.0, 13.0),
        (10.0, 58.0, 11.0, 20.0, 16.0),
        (12.0, 84.3, 13.5, 24.0, 18.0),
        (16.0, 157.0, 17.5, 30.0, 24.0),
    )
)

_MATERIAL_BY_NAME = {material.name: material for material in MATERIALS}
_BOLT_BY_NAME = {bolt.name: bolt for bolt in BOLTS}


def material_named(name: str) -> Material:
    """Return the material of that name.

    Raises:
        NotInCatalogue: There is none.
    """
    try:
        return _MATERIAL_BY_NAME[name]
    except KeyError:
        raise NotInCatalogue("material", name, list(_MATERIAL_BY_NAME)) from None


def bolt_named(name: str) -> Bolt:
    """Return the bolt of that name.

    Raises:
        NotInCatalogue: There is none.
    """
    try:
        return _BOLT_BY_NAME[name]
    except KeyError:
        raise NotInCatalogue("bolt", name, list(_BOLT_BY_NAME)) from None


def search_catalogue(kind: Literal["material", "plate", "bolt"], name: str = "") -> CatalogueAnswer:
    """Return the entries of one kind whose name (for plates: material) contains `name`.

    Raises:
        NotInCatalogue: Nothing of that kind matches.
    """
    query = f"{kind} {name}".strip()
    materials = tuple(material for material in MATERIALS if name in material.name)
    match kind:
        case "material" if materials:
            return CatalogueAnswer(query=query, materials=materials)
        case "plate" if materials:
            plates = (
                Plate(material=material.name, thickness_mm=size)
                for material in materials
                for size in STOCK_MM[material.name]
            )
            return CatalogueAnswer(query=query, plates=tuple(plates))
        case "bolt" if bolts := tuple(bolt for bolt in BOLTS if name in bolt.name):
            return CatalogueAnswer(query=query, bolts=bolts)
        case "material" | "plate":
            raise NotInCatalogue("material", name, list(_MATERIAL_BY_NAME))
        case "bolt":
            raise NotInCatalogue("bolt", name, list(_BOLT_BY_NAME))


class Mounting(Fact):
    """Where the load hangs and where the wall has its four anchors; heights are over the underside."""

    reach_mm: float
    anchor_low_mm: float
    anchor_high_mm: float
    anchor_spacing_mm: float


class Problem(Fact):
    """One order: a load at a reach, to be carried within limits of mass, deflection and safety."""

    number: int
    name: str
    mounting: Mounting
    load_n: float
    mass_max_g: float
    deflection_max_mm: float
    safety_min: float

    @classmethod
    def numbered(cls, number: int) -> Self:
        """Return the problem of that number, the same one on every machine.

        Number 0 is the textbook case; the others vary load, reach, anchors and limits. Some have a mass limit
        that nothing in the catalogue meets.
        """
        if number == 0:
            mounting = Mounting(
                reach_mm=120.0, anchor_low_mm=45.0, anchor_high_mm=105.0, anchor_spacing_mm=50.0
            )
            return cls._asking(number, mounting, load_n=1800.0, generosity=1.35)
        draw = _Draw(number)
        low_mm = draw.pick(45.0, 50.0, 60.0, 70.0)
        mounting = Mounting(
            reach_mm=draw.pick(80.0, 90.0, 100.0, 110.0, 120.0, 140.0, 160.0),
            anchor_low_mm=low_mm,
            anchor_high_mm=low_mm + draw.pick(40.0, 50.0, 60.0, 70.0),
            anchor_spacing_mm=draw.pick(40.0, 50.0, 60.0),
        )
        load_n = draw.pick(800.0, 1000.0, 1200.0, 1500.0, 1800.0, 2200.0, 2600.0)
        return cls._asking(
            number, mounting, load_n=load_n, generosity=draw.pick(0.5, 0.8, 1.0, 1.3, 1.5, 1.8, 2.2)
        )

    @classmethod
    def _asking(cls, number: int, mounting: Mounting, *, load_n: float, generosity: float) -> Self:
        # About what a good aluminium bracket weighs: a plate in bending needs a thickness that grows with the
        # root of the moment.
        plate_mm = mounting.anchor_spacing_mm + 30.0
        length_mm = mounting.reach_mm + mounting.anchor_high_mm
        thickness_mm = (6.0 * load_n * mounting.reach_mm / (plate_mm * 100.0)) ** 0.5
        likely_g = 2.7e-3 * plate_mm * length_mm * thickness_mm
        return cls(
            number=number,
            name=f"bracket-{number}",
            mounting=mounting,
            load_n=load_n,
            mass_max_g=round(generosity * likely_g, -1),
            deflection_max_mm=round(mounting.reach_mm / 80.0, 1),
            safety_min=1.5,
        )


class _Draw:
    """Draws that are the same in every Python: that is promised of `random()`, but not of `choice()`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311 - not a secret
        self._random()

    def pick(self, *choices: float) -> float:
        return choices[int(self._random() * len(choices))]
