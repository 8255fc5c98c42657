"""The bracket as a solid: a bent plate with four anchor holes, a load hole and perhaps a welded gusset.

Coordinates in millimetres: x runs away from the wall, y along it, z up. The leg stands on the wall (x = 0 is
its back), the arm points away from it (z = 0 is its underside), and the bend joins them with the inside
radius asked for. The load hangs at x = reach.

This module knows shapes and sizes; it knows nothing of loads.
"""

from dataclasses import dataclass
from math import ceil, pi
from typing import Self

from stepstream.demo.catalogue import STOCK_MM, Bolt, Fact, Material, Mounting, bolt_named, material_named

EDGE_DISTANCE_MIN = 1.2
"""Least distance of a hole's centre from an edge, in hole diameters (EN 1993-1-8 table 3.3: e1, e2)."""

HOLE_SPACING_MIN = 2.4
"""Least distance between the centres of neighbouring holes, in hole diameters (EN 1993-1-8 table 3.3: p2)."""

WELD_LEG_MM = 3.0
"""Room a fillet weld takes on either side of the gusset."""

CLEARANCE_MM = 1.0
"""Air between a washer and whatever stands up beside it."""


class Gusset(Fact):
    """A triangular rib in the inner corner, welded upright between the two middle planes of the anchors."""

    thickness_mm: float
    along_arm_mm: float
    along_wall_mm: float


class Design(Fact):
    """All that a workshop needs to make one bracket."""

    mounting: Mounting
    material: str
    bolt: str
    thickness_mm: float
    width_mm: float
    bend_radius_mm: float
    gusset: Gusset | None = None

    def __str__(self) -> str:
        """Name the design in one line."""
        rib = self.gusset
        ribbed = (
            f", gusset {rib.thickness_mm:g} x {rib.along_arm_mm:g} x {rib.along_wall_mm:g}" if rib else ""
        )
        plate = f"{self.material} {self.thickness_mm:g} x {self.width_mm:g} mm"
        return f"{plate}, bend {self.bend_radius_mm:g}, {self.bolt}{ribbed}"


class Geometry(Fact):
    """The sizes that follow from a design."""

    leg_height_mm: float
    arm_length_mm: float
    outer_bend_mm: float
    blank_length_mm: float
    hole_mm: float
    volume_mm3: float


class MassEstimate(Fact):
    """What a design weighs and what its material costs, from the exact volume."""

    volume_mm3: float
    mass_g: float
    material_eur: float


class GeometryError(ValueError):
    """The design cannot be made: `asked_mm` was wanted where `limit_mm` is the nearest that would do."""

    def __init__(self, message: str, *, asked_mm: float, limit_mm: float) -> None:
        """Keep the figures beside the message, for whoever wants to choose differently."""
        super().__init__(message)
        self.asked_mm = asked_mm
        self.limit_mm = limit_mm


class StockThicknessMissing(GeometryError):
    """No plate of that thickness is stocked; `limit_mm` is the nearest that is."""

    def __init__(self, material: str, asked_mm: float) -> None:
        """Name the material and its nearest stock."""
        nearest_mm = min(STOCK_MM[material], key=lambda stock_mm: abs(stock_mm - asked_mm))
        message = (
            f"{material} plate is not stocked in {asked_mm:g} mm; the nearest thickness is {nearest_mm:g} mm"
        )
        super().__init__(message, asked_mm=asked_mm, limit_mm=nearest_mm)


class BendTooTight(GeometryError):
    """The plate would crack in the bend; `limit_mm` is the least radius."""

    def __init__(self, material: Material, thickness_mm: float, asked_mm: float) -> None:
        """Name the material's least bend radius."""
        limit_mm = material.bend_ratio_min * thickness_mm
        message = (
            f"a bend radius of {asked_mm:g} mm cracks {thickness_mm:g} mm {material.name}; "
            f"bend it over at least {limit_mm:g} mm ({material.bend_ratio_min:g} x thickness)"
        )
        super().__init__(message, asked_mm=asked_mm, limit_mm=limit_mm)


class BendUnderWasher(GeometryError):
    """The bend runs under the washers of the lower anchors; `limit_mm` is the largest radius that fits."""

    def __init__(self, asked_mm: float, limit_mm: float, anchor_low_mm: float) -> None:
        """Say how much room the anchors leave."""
        message = f"a bend radius of {asked_mm:g} mm runs under the washers at {anchor_low_mm:g} mm; " + (
            f"at most {limit_mm:g} mm fits"
            if limit_mm > 0
            else "no bend fits this plate, take a thinner one or smaller washers"
        )
        super().__init__(message, asked_mm=asked_mm, limit_mm=limit_mm)


class PlateTooNarrow(GeometryError):
    """The anchor holes come too near to the edges; `limit_mm` is the least width."""

    def __init__(self, asked_mm: float, limit_mm: float) -> None:
        """Say which width would do."""
        message = (
            f"a plate of {asked_mm:g} mm is too narrow for the anchor holes; {limit_mm:g} mm is the least"
        )
        super().__init__(message, asked_mm=asked_mm, limit_mm=limit_mm)


class BoltTooLarge(GeometryError):
    """The holes come too near to each other; `limit_mm` is the largest hole the anchor pattern takes."""

    def __init__(self, bolt: Bolt, limit_mm: float) -> None:
        """Name the bolt and the room there is."""
        message = (
            f"the {bolt.hole_mm:g} mm holes of {bolt.name} crowd the anchor pattern; "
            f"it takes holes of at most {limit_mm:.1f} mm"
        )
        super().__init__(message, asked_mm=bolt.hole_mm, limit_mm=limit_mm)


class GussetDoesNotFit(GeometryError):
    """The gusset meets a washer, an edge or the bend; `dimension` names the field of `Gusset` at fault."""

    def __init__(self, dimension: str, asked_mm: float, limit_mm: float, obstacle: str) -> None:
        """Name the dimension, what it meets and the limit."""
        super().__init__(
            f"gusset {dimension} = {asked_mm:g} mm: {obstacle}; the limit is {limit_mm:g} mm",
            asked_mm=asked_mm,
            limit_mm=limit_mm,
        )
        self.dimension = dimension


def tee_section(
    width_mm: float, thickness_mm: float, rib_mm: float, rib_height_mm: float
) -> tuple[float, float, float]:
    """Return the section of a plate with a rib upright on its inner face; no rib height, no rib.

    Parallel-axis theorem (Gere & Goodno, Mechanics of Materials, appendix on plane areas).

    Returns:
        Area in mm2, height of the centroid above the outer face in mm, second moment about the centroid in
        mm4.
    """
    # A plain tuple: the solver comes here some hundred thousand times a second.
    plate_mm2 = width_mm * thickness_mm
    plate_mm4 = plate_mm2 * thickness_mm * thickness_mm / 12.0
    if rib_height_mm <= 0.0:
        return plate_mm2, thickness_mm / 2.0, plate_mm4
    rib_mm2 = rib_mm * rib_height_mm
    area_mm2 = plate_mm2 + rib_mm2
    apart_mm = (thickness_mm + rib_height_mm) / 2.0
    shift_mm = rib_mm2 * apart_mm / area_mm2
    rib_mm4 = rib_mm2 * rib_height_mm * rib_height_mm / 12.0
    return area_mm2, thickness_mm / 2.0 + shift_mm, plate_mm4 + rib_mm4 + plate_mm2 * shift_mm * apart_mm


@dataclass(frozen=True, slots=True)
class Bracket:
    """A design that can be made, with its material and bolt looked up and its sizes worked out."""

    design: Design
    material: Material
    bolt: Bolt
    outer_bend_mm: float
    leg_height_mm: float
    arm_length_mm: float

    @classmethod
    def of(cls, design: Design) -> Self:
        """Work out the sizes of a design.

        Raises:
            GeometryError: It cannot be made; the subclass says why.
            NotInCatalogue: Its material or bolt does not exist.
        """
        material = material_named(design.material)
        bolt = bolt_named(design.bolt)
        _check_plate(design, material)
        _check_anchors(design, bolt)
        outer_bend_mm = design.bend_radius_mm + design.thickness_mm
        edge_mm = ceil(EDGE_DISTANCE_MIN * bolt.hole_mm)
        bracket = cls(
            design=design,
            material=material,
            bolt=bolt,
            outer_bend_mm=outer_bend_mm,
            leg_height_mm=design.mounting.anchor_high_mm + edge_mm,
            arm_length_mm=design.mounting.reach_mm + edge_mm,
        )
        if design.gusset is not None:
            _check_gusset(bracket, design.gusset)
        return bracket

    @property
    def volume_mm3(self) -> float:
        """The exact volume: two flats and a quarter tube, less five holes, plus the gusset.

        Of the gusset's triangle, the corner is missing where the round of the bend is.
        """
        design = self.design
        radius_mm = design.bend_radius_mm
        flats_mm2 = design.thickness_mm * (self.leg_height_mm + self.arm_length_mm - 2.0 * self.outer_bend_mm)
        bend_mm2 = pi / 4.0 * (self.outer_bend_mm**2 - radius_mm**2)
        holes_mm3 = 5.0 * pi / 4.0 * self.bolt.hole_mm**2 * design.thickness_mm
        volume_mm3 = (flats_mm2 + bend_mm2) * design.width_mm - holes_mm3
        if (rib := design.gusset) is not None:
            volume_mm3 += rib.thickness_mm * (
                rib.along_arm_mm * rib.along_wall_mm / 2.0 - (1.0 - pi / 4.0) * radius_mm**2
            )
        return volume_mm3

    @property
    def mass_g(self) -> float:
        """The mass of the plate and gusset, without bolts."""
        return self.volume_mm3 * self.material.density_kg_m3 * 1e-6

    @property
    def yield_mpa(self) -> float:
        """The yield strength to reckon with: a welded gusset softens an aluminium plate beside it."""
        return self.material.yield_mpa if self.design.gusset is None else self.material.welded_yield_mpa


def _check_plate(design: Design, material: Material) -> None:
    stock_mm = STOCK_MM[material.name]
    if design.thickness_mm not in stock_mm:
        raise StockThicknessMissing(material.name, design.thickness_mm)
    if design.gusset is not None and design.gusset.thickness_mm not in stock_mm:
        raise StockThicknessMissing(material.name, design.gusset.thickness_mm)
    if design.bend_radius_mm < material.bend_ratio_min * design.thickness_mm:
        raise BendTooTight(material, design.thickness_mm, design.bend_radius_mm)


def _check_anchors(design: Design, bolt: Bolt) -> None:
    mounting = design.mounting
    room_mm = mounting.anchor_low_mm - bolt.washer_mm / 2.0 - design.thickness_mm
    if design.bend_radius_mm > room_mm:
        raise BendUnderWasher(design.bend_radius_mm, room_mm, mounting.anchor_low_mm)
    pitch_mm = min(mounting.anchor_spacing_mm, mounting.anchor_high_mm - mounting.anchor_low_mm)
    if bolt.hole_mm * HOLE_SPACING_MIN > pitch_mm:
        raise BoltTooLarge(bolt, pitch_mm / HOLE_SPACING_MIN)
    width_mm = mounting.anchor_spacing_mm + 2.0 * EDGE_DISTANCE_MIN * bolt.hole_mm
    if design.width_mm < width_mm:
        raise PlateTooNarrow(design.width_mm, width_mm)


def _check_gusset(bracket: Bracket, gusset: Gusset) -> None:
    design, bolt = bracket.design, bracket.bolt
    thickest_mm = design.mounting.anchor_spacing_mm - bolt.washer_mm - 2.0 * WELD_LEG_MM
    if gusset.thickness_mm > thickest_mm:
        raise GussetDoesNotFit(
            "thickness_mm", gusset.thickness_mm, thickest_mm, "its welds run under the washers of the anchors"
        )
    longest_mm = design.mounting.reach_mm - design.thickness_mm - bolt.washer_mm / 2.0 - CLEARANCE_MM
    if gusset.along_arm_mm > longest_mm:
        raise GussetDoesNotFit(
            "along_arm_mm", gusset.along_arm_mm, longest_mm, "it meets the washer of the load"
        )
    tallest_mm = bracket.leg_height_mm - design.thickness_mm - CLEARANCE_MM
    if gusset.along_wall_mm > tallest_mm:
        raise GussetDoesNotFit(
            "along_wall_mm", gusset.along_wall_mm, tallest_mm, "it stands over the top of the leg"
        )
    least_mm = 1.5 * design.bend_radius_mm
    if gusset.along_arm_mm < least_mm:
        raise GussetDoesNotFit(
            "along_arm_mm", gusset.along_arm_mm, least_mm, "it hardly reaches out of the bend"
        )
    if gusset.along_wall_mm < least_mm:
        raise GussetDoesNotFit(
            "along_wall_mm", gusset.along_wall_mm, least_mm, "it hardly reaches out of the bend"
        )


def make_geometry(design: Design) -> Geometry:
    """Work out the bracket of a design.

    Raises:
        GeometryError: It cannot be made; the subclass says why and what would do.
        NotInCatalogue: Its material or bolt does not exist.
    """
    bracket = Bracket.of(design)
    flats_mm = bracket.leg_height_mm + bracket.arm_length_mm - 2.0 * bracket.outer_bend_mm
    return Geometry(
        leg_height_mm=bracket.leg_height_mm,
        arm_length_mm=bracket.arm_length_mm,
        outer_bend_mm=bracket.outer_bend_mm,
        # The neutral fibre of the bend is taken at mid-thickness.
        blank_length_mm=flats_mm + pi / 2.0 * (design.bend_radius_mm + design.thickness_mm / 2.0),
        hole_mm=bracket.bolt.hole_mm,
        volume_mm3=bracket.volume_mm3,
    )


def estimate_mass(design: Design) -> MassEstimate:
    """Weigh a design by its exact volume.

    Raises:
        GeometryError: It cannot be made.
        NotInCatalogue: Its material or bolt does not exist.
    """
    bracket = Bracket.of(design)
    mass_g = bracket.mass_g
    return MassEstimate(
        volume_mm3=bracket.volume_mm3,
        mass_g=mass_g,
        material_eur=mass_g * 1e-3 * bracket.material.price_eur_kg,
    )
