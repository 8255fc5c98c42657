"""Does the bracket hold? Beam theory for the plate, Eurocode 3 for the anchors, and a second method as check.

The plate is a frame of three members: the leg between the edge where it leaves the wall and the upper
anchors, the bend, and the arm out to the load. The leg pivots on that edge (z = outer bend radius); the
anchors pull in proportion to their height above it. Loads are elastic and static. The weight of the bracket,
shear lag in a wide plate, prying of the plate on the anchors and the welds of a gusset are not reckoned with.

Formulas: Gere & Goodno, Mechanics of Materials (bending, shear, energy, torsion); Pilkey, Peterson's Stress
Concentration Factors, chapter 5 (bend); Timoshenko, Strength of Materials, part II (bend, exact); EN 1993-1-8
table 3.4 (anchors).
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from math import inf, log, pi, sqrt
from pathlib import Path
from typing import Literal, NamedTuple

from stepstream.demo.bracket import WELD_LEG_MM, Bracket, Design, tee_section
from stepstream.demo.catalogue import Bolt, Fact

GAMMA_M2 = 1.25
"""Partial factor for bolts and for plates in rupture (EN 1993-1-8 section 2.2)."""

STATIONS_FIRST = 4
STATIONS_MAX = 1024
CHANGE_MAX = 2e-4
"""The solver doubles its stations until peak stress and deflection change by less than this share."""

STATIONS_RECHECK = 24
LAYERS = 24
"""Into how many slices the second method cuts the plate, and again the rib."""

Member = Literal["leg", "bend", "arm"]
Governing = Literal["leg", "bend", "arm", "anchors", "pull_through", "flange"]


class Refinement(Fact):
    """One pass of the solver: how finely it cut the members, and what it found."""

    stations: int
    max_stress_mpa: float
    deflection_mm: float
    change: float


class SimulationResult(Fact):
    """How a design behaves under the load; `safety_factor` is the least of plate, anchors, pull-through."""

    load_n: float
    max_stress_mpa: float
    stress_in: Member
    nominal_stress_mpa: float
    stress_concentration: float
    shear_stress_mpa: float
    yield_mpa: float
    deflection_mm: float
    anchor_tension_n: float
    anchor_shear_n: float
    anchor_utilisation: float
    pull_through_utilisation: float
    flange_utilisation: float
    safety_factor: float
    governing: Governing
    refinements: tuple[Refinement, ...]


class Screening(Fact):
    """The short answer of a coarse simulation, for trying many designs."""

    mass_g: float
    max_stress_mpa: float
    deflection_mm: float
    safety_factor: float
    governing: Governing


class Recheck(Fact):
    """What the second method finds with the load off its place by `offset_mm`, outwards and sideways."""

    load_n: float
    offset_mm: float
    max_von_mises_mpa: float
    stress_in: Member
    bend_factor: float
    torsion_stress_mpa: float
    anchor_utilisation: float
    safety_factor: float


class Segment(NamedTuple):
    """A stretch of a member with linear moment and rib height; `factor` raises the inner face's stress."""

    member: Member
    length_mm: float
    moment_start_nmm: float
    moment_end_nmm: float
    rib_start_mm: float
    rib_end_mm: float
    axial_n: float
    factor: float


class Peak(NamedTuple):
    """The highest stress, where it is, and the integral of M^2 / I over the members."""

    stress_mpa: float
    member: Member
    flexibility_n2_mm: float


def bend_concentration(thickness_mm: float, radius_mm: float) -> float:
    """Return the stress concentration at the inside of a bend of rectangular section.

    Wilson & Quereau (1928), in Peterson's chapter on curved bars: K = 1 + 0.5 (I / b c^2) (1 / (R - c) + 1 /
    R), with R the radius of the centroid and c half the thickness; for a rectangle I / b c^2 = thickness / 3.
    """
    return 1.0 + thickness_mm / 6.0 * (1.0 / radius_mm + 1.0 / (radius_mm + thickness_mm / 2.0))


def curved_beam_factor(thickness_mm: float, radius_mm: float) -> float:
    """Return the same concentration by Winkler and Bach's theory of curved beams (Timoshenko, part II).

    sigma = M (r_n - r) / (A e r) with the neutral radius r_n = t / ln((r + t) / r) and e = r + t / 2 - r_n,
    over the straight beam's 6 M / (b t^2).
    """
    neutral_mm = thickness_mm / log((radius_mm + thickness_mm) / radius_mm)
    eccentricity_mm = radius_mm + thickness_mm / 2.0 - neutral_mm
    return (neutral_mm - radius_mm) * thickness_mm / (6.0 * eccentricity_mm * radius_mm)


def anchor_tensions_n(bracket: Bracket, load_n: float, offset_mm: float = 0.0) -> tuple[float, float]:
    """Return the tension of each lower and each upper anchor, from equilibrium about the pivot edge."""
    low_mm = bracket.design.mounting.anchor_low_mm - bracket.outer_bend_mm
    high_mm = bracket.design.mounting.anchor_high_mm - bracket.outer_bend_mm
    moment_nmm = load_n * (bracket.design.mounting.reach_mm + offset_mm)
    per_height_n = moment_nmm / (2.0 * (low_mm * low_mm + high_mm * high_mm))
    return per_height_n * low_mm, per_height_n * high_mm


def anchor_utilisation(bolt: Bolt, tension_n: float, shear_n: float) -> float:
    """Return how far tension and shear use up a bolt (EN 1993-1-8 table 3.4, thread in the shear plane)."""
    shear_resistance_n = bolt.shear_factor * bolt.ultimate_mpa * bolt.stress_area_mm2 / GAMMA_M2
    tension_resistance_n = 0.9 * bolt.ultimate_mpa * bolt.stress_area_mm2 / GAMMA_M2
    combined = shear_n / shear_resistance_n + tension_n / (1.4 * tension_resistance_n)
    return max(combined, tension_n / tension_resistance_n)


def pull_through_resistance_n(bolt: Bolt, thickness_mm: float, ultimate_mpa: float) -> float:
    """Return the tension at which a bolt head punches through the plate (EN 1993-1-8 table 3.4: B_p,Rd).

    d_m is the mean of the head's width across flats and across corners.
    """
    mean_mm = bolt.across_flats_mm * (1.0 + 2.0 / sqrt(3.0)) / 2.0
    return 0.6 * pi * mean_mm * thickness_mm * ultimate_mpa / GAMMA_M2


def flange_resistance_n(bracket: Bracket) -> float:
    """Return the pull of the two upper anchors at which the leg yields across, between them and a gusset.

    The leg is the flange of a T-stub, the gusset its web: EN 1993-1-8 table 6.2, mode 1 without backing
    plates, with the effective length of an end row from table 6.4. Without a gusset nothing holds the middle
    back: infinite.
    """
    design, mounting, rib = bracket.design, bracket.design.mounting, bracket.design.gusset
    if rib is None:
        return inf
    m_mm = (mounting.anchor_spacing_mm - rib.thickness_mm) / 2.0 - 0.8 * WELD_LEG_MM
    side_mm = (design.width_mm - mounting.anchor_spacing_mm) / 2.0
    end_mm = bracket.leg_height_mm - mounting.anchor_high_mm
    effective_mm = min(
        2.0 * pi * m_mm,
        pi * m_mm + 2.0 * end_mm,
        4.0 * m_mm + 1.25 * side_mm,
        2.0 * m_mm + 0.625 * side_mm + end_mm,
    )
    plastic_nmm = 0.25 * effective_mm * design.thickness_mm**2 * bracket.yield_mpa
    return 4.0 * plastic_nmm / m_mm


def segments(
    bracket: Bracket, load_n: float, *, bend_factor: float, offset_mm: float = 0.0
) -> Iterator[Segment]:
    """Yield the frame from the upper anchors down the leg, round the bend and out to the load.

    The moment in the leg is what the anchors above pull; in the arm it is the load times the distance to it.
    Members are cut where an anchor row or the end of a gusset breaks the straight line.
    """
    design, mounting, rib = bracket.design, bracket.design.mounting, bracket.design.gusset
    edge_mm, reach_mm = bracket.outer_bend_mm, mounting.reach_mm + offset_mm
    low_n, high_n = (2.0 * tension_n for tension_n in anchor_tensions_n(bracket, load_n, offset_mm))
    top_mm = design.thickness_mm + rib.along_wall_mm if rib else 0.0
    toe_mm = design.thickness_mm + rib.along_arm_mm if rib else 0.0

    def leg_at(z_mm: float) -> tuple[float, float, float]:
        moment_nmm = high_n * (mounting.anchor_high_mm - z_mm) + low_n * max(
            mounting.anchor_low_mm - z_mm, 0.0
        )
        if rib is None or z_mm >= top_mm:
            return z_mm, moment_nmm, 0.0
        return z_mm, moment_nmm, rib.along_arm_mm * (top_mm - z_mm) / rib.along_wall_mm

    def arm_at(x_mm: float) -> tuple[float, float, float]:
        moment_nmm = load_n * (reach_mm - x_mm)
        if rib is None or x_mm >= toe_mm:
            return x_mm, moment_nmm, 0.0
        return x_mm, moment_nmm, rib.along_wall_mm * (toe_mm - x_mm) / rib.along_arm_mm

    heights_mm = [edge_mm, mounting.anchor_low_mm, mounting.anchor_high_mm]
    places_mm = [edge_mm, reach_mm]
    if rib is not None:
        places_mm.insert(1, toe_mm)
        if top_mm < mounting.anchor_high_mm and top_mm != mounting.anchor_low_mm:
            heights_mm.insert(1 if top_mm < mounting.anchor_low_mm else 2, top_mm)
    leg, arm = [leg_at(z_mm) for z_mm in heights_mm], [arm_at(x_mm) for x_mm in places_mm]
    for (start_mm, moment, height), (end_mm, end_moment, end_height) in pairwise(leg):
        yield Segment("leg", end_mm - start_mm, moment, end_moment, height, end_height, load_n, 1.0)
    bend_mm = pi / 2.0 * (design.bend_radius_mm + design.thickness_mm / 2.0)
    yield Segment("bend", bend_mm, leg[0][1], arm[0][1], leg[0][2], arm[0][2], load_n, bend_factor)
    for (start_mm, moment, height), (end_mm, end_moment, end_height) in pairwise(arm):
        yield Segment("arm", end_mm - start_mm, moment, end_moment, height, end_height, 0.0, 1.0)


def simulate(design: Design, load_n: float, log_path: Path | None = None) -> SimulationResult:
    """Load a design and refine until peak stress and deflection settle; append the passes to a log, if given.

    Raises:
        GeometryError: The design cannot be made.
        NotInCatalogue: Its material or bolt does not exist.
    """
    bracket = Bracket.of(design)
    refinements: list[Refinement] = []
    stations, change = STATIONS_FIRST, inf
    while True:
        peak = _peak(bracket, load_n, stations)
        deflection_mm = _deflection_mm(bracket, load_n, peak)
        if refinements:
            last = refinements[-1]
            change = max(
                abs(peak.stress_mpa / last.max_stress_mpa - 1.0),
                abs(deflection_mm / last.deflection_mm - 1.0),
            )
        refinements.append(
            Refinement(
                stations=stations,
                max_stress_mpa=peak.stress_mpa,
                deflection_mm=deflection_mm,
                change=min(change, 1.0),
            )
        )
        if change < CHANGE_MAX or stations >= STATIONS_MAX:
            break
        stations *= 2
    result = _result(bracket, load_n, peak, tuple(refinements))
    if log_path is not None:
        _append_log(log_path, design, result)
    return result


def screen(design: Design, load_n: float) -> Screening:
    """Simulate a design in one coarse pass: within about five per cent of `simulate`, and quickly.

    Raises:
        GeometryError: The design cannot be made.
        NotInCatalogue: Its material or bolt does not exist.
    """
    bracket = Bracket.of(design)
    peak = _peak(bracket, load_n, STATIONS_FIRST)
    safety_factor, governing = _safety(bracket, peak, _wall_end(bracket, load_n))
    return Screening(
        mass_g=bracket.mass_g,
        max_stress_mpa=peak.stress_mpa,
        deflection_mm=_deflection_mm(bracket, load_n, peak),
        safety_factor=safety_factor,
        governing=governing,
    )


def _peak(bracket: Bracket, load_n: float, stations: int) -> Peak:
    """Return the highest stress of the frame and its flexibility, cutting ribbed segments into `stations`."""
    design = bracket.design
    factor = bend_concentration(design.thickness_mm, design.bend_radius_mm)
    highest_mpa, flexibility = _anchor_row_mpa(bracket, load_n), 0.0
    member: Member = "leg"
    for segment in segments(bracket, load_n, bend_factor=factor):
        stress_mpa, flexible = _scan(bracket, segment, stations)
        flexibility += flexible
        if stress_mpa > highest_mpa:
            highest_mpa, member = stress_mpa, segment.member
    return Peak(highest_mpa, member, flexibility)


def _scan(bracket: Bracket, segment: Segment, stations: int) -> tuple[float, float]:
    """Return the highest stress in a segment and its integral of M^2 / I.

    Without a rib both are exact: the moment is linear, so the peak is at an end and the integrand is a
    parabola. With one, Simpson's rule runs over the tapering section.
    """
    _, length_mm, start, end, rib_mm, rib_end_mm, axial_n, factor = segment
    design, rib = bracket.design, bracket.design.gusset
    thickness_mm, width_mm = design.thickness_mm, design.width_mm
    if rib is None or rib_mm <= 0.0 >= rib_end_mm:
        area_mm2, centroid_mm, inertia_mm4 = tee_section(width_mm, thickness_mm, 0.0, 0.0)
        stress_mpa = factor * max(start, end) * centroid_mm / inertia_mm4 + axial_n / area_mm2
        return stress_mpa, length_mm * (start * start + start * end + end * end) / (3.0 * inertia_mm4)
    marks = _simpson(stations)
    # A low rib reaches far from the plate and adds little to its second moment. The height where its edge is
    # stressed most is a fit to the largest (distance to the edge) / (second moment); stations may miss it.
    worst_mm = 0.2 * thickness_mm * sqrt(width_mm / rib.thickness_mm)
    if rib_end_mm < worst_mm < rib_mm:
        marks = (*marks, ((rib_mm - worst_mm) / (rib_mm - rib_end_mm), 0.0))
    highest_mpa = flexibility = 0.0
    for share, weight in marks:
        moment_nmm, height_mm = start + (end - start) * share, rib_mm + (rib_end_mm - rib_mm) * share
        area_mm2, centroid_mm, inertia_mm4 = tee_section(width_mm, thickness_mm, rib.thickness_mm, height_mm)
        slope, inner_mm = moment_nmm / inertia_mm4, abs(thickness_mm - centroid_mm) * factor
        farthest_mm = max(centroid_mm, inner_mm, thickness_mm + height_mm - centroid_mm)
        if (stress_mpa := slope * farthest_mm + axial_n / area_mm2) > highest_mpa:
            highest_mpa = stress_mpa
        flexibility += weight * moment_nmm * slope
    return highest_mpa, flexibility * length_mm


@cache
def _simpson(intervals: int) -> tuple[tuple[float, float], ...]:
    """Return the stations of Simpson's rule over a unit length, each with its weight.

    They crowd towards the end as 1 - (1 - u)^2, because that is where a gusset tapers out.
    """
    counts = [1.0, *(4.0 if station % 2 else 2.0 for station in range(1, intervals)), 1.0]
    left = [1.0 - station / intervals for station in range(intervals + 1)]
    return tuple(
        (1.0 - rest * rest, 2.0 * rest * weight / (3.0 * intervals))
        for rest, weight in zip(left, counts, strict=True)
    )


def _anchor_row_mpa(bracket: Bracket, load_n: float) -> float:
    """Return the stress in what the lower anchor holes leave of the leg."""
    design, mounting, rib = bracket.design, bracket.design.mounting, bracket.design.gusset
    net_mm, rib_mm, height_mm = design.width_mm - 2.0 * bracket.bolt.hole_mm, 0.0, 0.0
    if rib is not None:
        share = 1.0 - (mounting.anchor_low_mm - design.thickness_mm) / rib.along_wall_mm
        rib_mm, height_mm = rib.thickness_mm, rib.along_arm_mm * max(share, 0.0)
    _, high_n = anchor_tensions_n(bracket, load_n)
    moment_nmm = 2.0 * high_n * (mounting.anchor_high_mm - mounting.anchor_low_mm)
    area_mm2, centroid_mm, inertia_mm4 = tee_section(net_mm, design.thickness_mm, rib_mm, height_mm)
    farthest_mm = max(centroid_mm, design.thickness_mm + height_mm - centroid_mm)
    return moment_nmm * farthest_mm / inertia_mm4 + load_n / area_mm2


def _deflection_mm(bracket: Bracket, load_n: float, peak: Peak) -> float:
    """Return how far the load sinks: Castigliano's theorem over bending of the frame and shear of the arm."""
    design, material = bracket.design, bracket.material
    shear_mpa = material.young_mpa / (2.0 * (1.0 + material.poisson))
    arm_mm = design.mounting.reach_mm - bracket.outer_bend_mm
    sheared_mm = 1.2 * load_n * arm_mm / (shear_mpa * design.width_mm * design.thickness_mm)
    return peak.flexibility_n2_mm / (load_n * material.young_mpa) + sheared_mm


class Utilisation(NamedTuple):
    """How far the wall end is used up: bolts, plate under their heads, leg across."""

    anchors: float
    pull_through: float
    flange: float


def _wall_end(bracket: Bracket, load_n: float) -> Utilisation:
    _, tension_n = anchor_tensions_n(bracket, load_n)
    thickness_mm, ultimate_mpa = bracket.design.thickness_mm, bracket.material.ultimate_mpa
    return Utilisation(
        anchor_utilisation(bracket.bolt, tension_n, load_n / 4.0),
        tension_n / pull_through_resistance_n(bracket.bolt, thickness_mm, ultimate_mpa),
        2.0 * tension_n / flange_resistance_n(bracket),
    )


def _safety(bracket: Bracket, peak: Peak, wall_end: Utilisation) -> tuple[float, Governing]:
    """Return the least safety factor and what governs it."""
    safety_factor: float = bracket.yield_mpa / peak.stress_mpa
    governing: Governing = peak.member
    if 1.0 / wall_end.anchors < safety_factor:
        safety_factor, governing = 1.0 / wall_end.anchors, "anchors"
    if 1.0 / wall_end.pull_through < safety_factor:
        safety_factor, governing = 1.0 / wall_end.pull_through, "pull_through"
    if wall_end.flange * safety_factor > 1.0:
        safety_factor, governing = 1.0 / wall_end.flange, "flange"
    return safety_factor, governing


def _result(
    bracket: Bracket, load_n: float, peak: Peak, refinements: tuple[Refinement, ...]
) -> SimulationResult:
    design, wall_end = bracket.design, _wall_end(bracket, load_n)
    safety_factor, governing = _safety(bracket, peak, wall_end)
    root_nmm = load_n * design.mounting.reach_mm
    return SimulationResult(
        load_n=load_n,
        max_stress_mpa=peak.stress_mpa,
        stress_in=peak.member,
        nominal_stress_mpa=6.0 * root_nmm / (design.width_mm * design.thickness_mm**2),
        stress_concentration=bend_concentration(design.thickness_mm, design.bend_radius_mm),
        # A rectangle's shear stress peaks at 3/2 of the mean (Gere & Goodno, chapter 5); a rib only lowers
        # it.
        shear_stress_mpa=1.5 * load_n / (design.width_mm * design.thickness_mm),
        yield_mpa=bracket.yield_mpa,
        deflection_mm=refinements[-1].deflection_mm,
        anchor_tension_n=anchor_tensions_n(bracket, load_n)[1],
        anchor_shear_n=load_n / 4.0,
        anchor_utilisation=wall_end.anchors,
        pull_through_utilisation=wall_end.pull_through,
        flange_utilisation=wall_end.flange,
        safety_factor=safety_factor,
        governing=governing,
        refinements=refinements,
    )


def _append_log(path: Path, design: Design, result: SimulationResult) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as log:
        log.write(f"{design}, load {result.load_n:g} N\n")
        log.write("  stations  max_stress_mpa  deflection_mm     change\n")
        for step in result.refinements:
            log.write(
                f"  {step.stations:8d}  {step.max_stress_mpa:14.3f}"
                f"  {step.deflection_mm:13.4f}  {step.change:9.2e}\n"
            )
        log.write(
            f"  peak in the {result.stress_in}, K {result.stress_concentration:.3f}, "
            f"yield {result.yield_mpa:g} MPa; "
            f"anchors {result.anchor_tension_n:.0f} N, {result.anchor_utilisation:.1%} used; "
            f"safety {result.safety_factor:.3f} ({result.governing})\n\n"
        )


def recheck(design: Design, load_n: float, offset_mm: float = 2.0) -> Recheck:
    """Evaluate a design by another method, with the load `offset_mm` further out and to one side.

    Every section is cut into layers and von Mises' stress is taken at each layer's edge from bending, axial
    force, shear (Jourawski's V Q / I b) and torsion; the bend is a curved beam by Winkler and Bach; the side
    offset loads one column of anchors more than the other.

    Raises:
        GeometryError: The design cannot be made.
        NotInCatalogue: Its material or bolt does not exist.
    """
    bracket = Bracket.of(design)
    factor = curved_beam_factor(design.thickness_mm, design.bend_radius_mm)
    # A thin rectangle's torsional shear stress (Gere & Goodno, chapter 3): 3 T / (b t^2) at the long
    # faces.
    torsion_mpa = 3.0 * load_n * offset_mm / (design.width_mm * design.thickness_mm**2)
    frame = segments(bracket, load_n, bend_factor=factor, offset_mm=offset_mm)
    highest_mpa, member = max(
        (_von_mises_mpa(design, segment, torsion_mpa), segment.member) for segment in frame
    )
    _, tension_n = anchor_tensions_n(bracket, load_n, offset_mm)
    uneven = 1.0 + 2.0 * offset_mm / design.mounting.anchor_spacing_mm
    anchors = anchor_utilisation(bracket.bolt, tension_n * uneven, load_n / 4.0 * uneven)
    return Recheck(
        load_n=load_n,
        offset_mm=offset_mm,
        max_von_mises_mpa=highest_mpa,
        stress_in=member,
        bend_factor=factor,
        torsion_stress_mpa=torsion_mpa,
        anchor_utilisation=anchors,
        safety_factor=min(
            bracket.yield_mpa / highest_mpa, 1.0 / anchors, flange_resistance_n(bracket) / (2.0 * tension_n)
        ),
    )


def _von_mises_mpa(design: Design, segment: Segment, torsion_mpa: float) -> float:
    """Return the highest von Mises stress in a segment, station by station and layer by layer."""
    start_nmm, rib_mm = segment.moment_start_nmm, segment.rib_start_mm
    rise_nmm, taper_mm = segment.moment_end_nmm - start_nmm, segment.rib_end_mm - rib_mm
    shear_n = abs(rise_nmm) / segment.length_mm
    highest_mpa = 0.0
    for share, _ in _simpson(STATIONS_RECHECK):
        layers = _layers(design, rib_mm + taper_mm * share)
        area_mm2 = sum(layer.area_mm2 for layer in layers)
        centroid_mm = sum(layer.area_mm2 * layer.middle_mm for layer in layers) / area_mm2
        inertia_mm4 = sum(layer.inertia_mm4(centroid_mm) for layer in layers)
        slope = (start_nmm + rise_nmm * share) / inertia_mm4
        first_moment_mm3 = 0.0
        for layer in layers:
            top_mm = layer.bottom_mm + layer.height_mm
            first_moment_mm3 += layer.area_mm2 * (centroid_mm - layer.middle_mm)
            factor = segment.factor if top_mm == design.thickness_mm else 1.0
            direct_mpa = abs(slope * (top_mm - centroid_mm)) * factor + segment.axial_n / area_mm2
            shear_mpa = abs(shear_n * first_moment_mm3) / (inertia_mm4 * layer.width_mm) + torsion_mpa
            highest_mpa = max(highest_mpa, sqrt(direct_mpa**2 + 3.0 * shear_mpa**2))
    return highest_mpa


class Layer(NamedTuple):
    """A slice of a section, parallel to the plate's faces."""

    bottom_mm: float
    height_mm: float
    width_mm: float

    @property
    def area_mm2(self) -> float:
        """The area of the slice."""
        return self.height_mm * self.width_mm

    @property
    def middle_mm(self) -> float:
        """The height of its centroid above the outer face."""
        return self.bottom_mm + self.height_mm / 2.0

    def inertia_mm4(self, about_mm: float) -> float:
        """Return the second moment of the slice about a height."""
        return self.area_mm2 * ((self.middle_mm - about_mm) ** 2 + self.height_mm**2 / 12.0)


def _layers(design: Design, rib_height_mm: float) -> list[Layer]:
    step_mm, rise_mm = design.thickness_mm / LAYERS, rib_height_mm / LAYERS
    layers = [Layer(index * step_mm, step_mm, design.width_mm) for index in range(LAYERS)]
    if design.gusset is not None and rib_height_mm > 0.0:
        width_mm, base_mm = design.gusset.thickness_mm, design.thickness_mm
        layers += [Layer(base_mm + index * rise_mm, rise_mm, width_mm) for index in range(LAYERS)]
    return layers
