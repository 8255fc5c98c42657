"""The demo's bracket: its sizes, what cannot be made, and its stresses against figures worked out by hand."""

from itertools import pairwise
from math import pi
from pathlib import Path

import pytest
from pydantic import ValidationError

from stepstream.demo.bracket import (
    BendTooTight,
    BendUnderWasher,
    BoltTooLarge,
    Bracket,
    Design,
    GeometryError,
    Gusset,
    GussetDoesNotFit,
    PlateTooNarrow,
    StockThicknessMissing,
    estimate_mass,
    make_geometry,
    tee_section,
)
from stepstream.demo.catalogue import (
    Mounting,
    NotInCatalogue,
    Problem,
    bolt_named,
    material_named,
    search_catalogue,
)
from stepstream.demo.stress import (
    SimulationResult,
    anchor_tensions_n,
    anchor_utilisation,
    bend_concentration,
    curved_beam_factor,
    flange_resistance_n,
    pull_through_resistance_n,
    recheck,
    screen,
    segments,
    simulate,
)

MOUNTING = Mounting(reach_mm=120.0, anchor_low_mm=45.0, anchor_high_mm=105.0, anchor_spacing_mm=50.0)
PLAIN = Design(
    mounting=MOUNTING, material="S355J2", bolt="M8 8.8", thickness_mm=10.0, width_mm=80.0, bend_radius_mm=15.0
)
RIB = Gusset(thickness_mm=5.0, along_arm_mm=60.0, along_wall_mm=60.0)
RIBBED = PLAIN.model_copy(update={"thickness_mm": 6.0, "bend_radius_mm": 9.0, "gusset": RIB})
GUSSETS = [
    PLAIN.model_copy(
        update={
            "thickness_mm": thickness_mm,
            "bend_radius_mm": 2.0 * thickness_mm,
            "gusset": Gusset(thickness_mm=rib_mm, along_arm_mm=arm_mm, along_wall_mm=wall_mm),
        }
    )
    for thickness_mm in (3.0, 6.0, 10.0)
    for rib_mm in (3.0, 8.0)
    for arm_mm, wall_mm in ((40.0, 90.0), (90.0, 40.0), (95.0, 95.0))
]


class TestGeometry:
    """Sizes, volume and mass."""

    def test_tee_section_matches_the_parallel_axis_theorem_by_hand(self) -> None:
        """A plate of 80 x 10 with a rib of 5 x 60 has the section worked out by hand."""
        area_mm2, centroid_mm, inertia_mm4 = tee_section(80.0, 10.0, 5.0, 60.0)
        by_hand_mm = (800 * 5 + 300 * 40) / 1100
        by_hand_mm4 = (
            80 * 10**3 / 12 + 800 * (by_hand_mm - 5) ** 2 + 5 * 60**3 / 12 + 300 * (40 - by_hand_mm) ** 2
        )
        assert area_mm2 == 1100.0
        assert centroid_mm == pytest.approx(by_hand_mm)
        assert inertia_mm4 == pytest.approx(by_hand_mm4)

    def test_tee_section_without_a_rib_is_the_rectangle(self) -> None:
        """No rib height leaves b t^3 / 12 about mid-thickness."""
        assert tee_section(80.0, 10.0, 5.0, 0.0) == pytest.approx((800.0, 5.0, 80 * 10**3 / 12))

    def test_volume_of_a_plain_bracket_by_hand(self) -> None:
        """Two flats and a quarter tube, less five holes, give the volume; the density gives the mass."""
        # Leg 105 + 11, arm 120 + 11, each less the outer bend of 25.
        flats_mm3 = (116 + 131 - 50) * 10 * 80
        bend_mm3 = pi / 4 * (25**2 - 15**2) * 80
        holes_mm3 = 5 * pi / 4 * 9**2 * 10
        estimate = estimate_mass(PLAIN)
        assert estimate.volume_mm3 == pytest.approx(flats_mm3 + bend_mm3 - holes_mm3)
        assert estimate.mass_g == pytest.approx(estimate.volume_mm3 * 7.85e-3)

    def test_gusset_adds_its_triangle_without_the_round_of_the_bend(self) -> None:
        """A gusset adds half its legs' product less the corner that the bend's radius fills."""
        without = Bracket.of(RIBBED.model_copy(update={"gusset": None})).volume_mm3
        assert Bracket.of(RIBBED).volume_mm3 - without == pytest.approx(
            5 * (60 * 60 / 2 - (1 - pi / 4) * 9**2)
        )

    def test_geometry_reports_the_sizes_a_workshop_needs(self) -> None:
        """Leg, arm, outer bend and the length of the flat blank follow from the design."""
        geometry = make_geometry(PLAIN)
        assert (geometry.leg_height_mm, geometry.arm_length_mm, geometry.outer_bend_mm) == (
            116.0,
            131.0,
            25.0,
        )
        assert geometry.blank_length_mm == pytest.approx(116 + 131 - 50 + pi / 2 * 20)

    def test_results_are_frozen_and_strict(self) -> None:
        """A result cannot be changed, and a text in place of a number is refused."""
        with pytest.raises(ValidationError):
            make_geometry(PLAIN).volume_mm3 = 1.0  # type: ignore[misc]
        with pytest.raises(ValidationError):
            Gusset(thickness_mm="5", along_arm_mm=1.0, along_wall_mm=1.0)  # type: ignore[arg-type]


class TestWhatCannotBeMade:
    """Every refusal is typed and names the limit that would do."""

    @pytest.mark.parametrize(
        ("change", "error", "limit_mm"),
        [
            ({"thickness_mm": 9.5}, StockThicknessMissing, 10.0),
            ({"gusset": RIB.model_copy(update={"thickness_mm": 7.0})}, StockThicknessMissing, 6.0),
            ({"bend_radius_mm": 14.0}, BendTooTight, 15.0),
            ({"bend_radius_mm": 28.0}, BendUnderWasher, 27.0),
            ({"width_mm": 71.0}, PlateTooNarrow, 71.6),
            ({"mounting": MOUNTING.model_copy(update={"anchor_high_mm": 65.0})}, BoltTooLarge, 20.0 / 2.4),
            ({"gusset": RIB.model_copy(update={"along_arm_mm": 102.0})}, GussetDoesNotFit, 101.0),
            ({"gusset": RIB.model_copy(update={"along_wall_mm": 106.0})}, GussetDoesNotFit, 105.0),
            ({"gusset": RIB.model_copy(update={"along_wall_mm": 20.0})}, GussetDoesNotFit, 22.5),
        ],
    )
    def test_refusal_names_the_limit(
        self, change: dict[str, object], error: type[GeometryError], limit_mm: float
    ) -> None:
        """A design that cannot be made raises its own error, with the nearest size that can be."""
        with pytest.raises(error) as caught:
            make_geometry(PLAIN.model_copy(update=change))
        assert caught.value.limit_mm == pytest.approx(limit_mm)
        assert f"{caught.value.asked_mm:g}" in str(caught.value)

    def test_gusset_too_thick_for_the_washers(self) -> None:
        """A gusset whose welds would run under the washers names its thickness."""
        narrow = MOUNTING.model_copy(update={"anchor_spacing_mm": 30.0})
        rib = RIB.model_copy(update={"thickness_mm": 10.0})
        with pytest.raises(GussetDoesNotFit, match="washers") as caught:
            make_geometry(PLAIN.model_copy(update={"mounting": narrow, "gusset": rib}))
        assert (caught.value.dimension, caught.value.limit_mm) == ("thickness_mm", 8.0)

    def test_what_the_limit_allows_can_be_made(self) -> None:
        """The largest bend that is said to fit does fit."""
        assert make_geometry(PLAIN.model_copy(update={"bend_radius_mm": 27.0})).outer_bend_mm == 37.0


class TestStress:
    """Formulas against values worked out by hand or printed in textbooks."""

    def test_peak_stress_of_a_plain_bracket_by_hand(self) -> None:
        """The bend carries 6 M / (b t^2) raised by the bend's factor, and the load as tension."""
        # 6 * 216 N m / (80 * 10^2) = 162 MPa; K = 1 + 10/6 * (1/15 + 1/20) = 1.19444; 1800 / 800 = 2.25 MPa.
        result = simulate(PLAIN, 1800.0)
        assert result.nominal_stress_mpa == pytest.approx(162.0)
        assert result.max_stress_mpa == pytest.approx(162.0 * 1.194444 + 2.25, rel=1e-6)
        assert (result.stress_in, result.governing) == ("bend", "bend")
        assert result.safety_factor == pytest.approx(355.0 / result.max_stress_mpa)

    def test_deflection_of_a_plain_bracket_by_hand(self) -> None:
        """Castigliano over leg, bend and arm, each with a linear moment, gives the deflection."""
        inertia_mm4 = 80 * 10**3 / 12
        high_n = 2 * 1800 * 120 * 80 / (2 * (20**2 + 80**2))
        at_low_nmm, at_edge_nmm, at_arm_nmm = high_n * 60, 1800 * 120, 1800 * 95

        def integral(length: float, start: float, end: float) -> float:
            return length * (start**2 + start * end + end**2) / 3

        leg = integral(20, at_edge_nmm, at_low_nmm) + integral(60, at_low_nmm, 0)
        bend = integral(pi / 2 * 20, at_edge_nmm, at_arm_nmm)
        arm = integral(95, at_arm_nmm, 0)
        shear_mm = 1.2 * 1800 * 95 / (210_000 / 2.6 * 800)
        by_hand_mm = (leg + bend + arm) / (210_000 * inertia_mm4 * 1800) + shear_mm
        assert simulate(PLAIN, 1800.0).deflection_mm == pytest.approx(by_hand_mm)

    def test_arm_alone_bends_as_a_cantilever(self) -> None:
        """The arm's share of the flexibility is the F L^3 / 3 E I of a cantilever."""
        arm = [part for part in segments(Bracket.of(PLAIN), 1800.0, bend_factor=1.0) if part.member == "arm"]
        assert [(part.moment_start_nmm, part.moment_end_nmm) for part in arm] == [(1800.0 * 95.0, 0.0)]
        inertia_mm4 = 80 * 10**3 / 12
        flexibility = arm[0].length_mm * arm[0].moment_start_nmm ** 2 / 3 / inertia_mm4
        assert flexibility / (210_000 * 1800) == pytest.approx(1800 * 95**3 / (3 * 210_000 * inertia_mm4))

    @pytest.mark.parametrize(
        ("centre_over_half", "printed"), [(1.6, 1.79), (2.0, 1.52), (3.0, 1.30), (4.0, 1.20)]
    )
    def test_curved_beam_factor_matches_the_printed_table(
        self, centre_over_half: float, printed: float
    ) -> None:
        """Winkler and Bach's factor for a rectangle agrees with the table in textbooks on curved beams."""
        assert curved_beam_factor(2.0, centre_over_half - 1.0) == pytest.approx(printed, abs=0.015)

    @pytest.mark.parametrize("radius_mm", [10.0, 15.0, 20.0, 40.0])
    def test_both_bend_factors_agree(self, radius_mm: float) -> None:
        """Wilson and Quereau's formula stays within one per cent of the exact theory for bends that occur."""
        assert bend_concentration(10.0, radius_mm) == pytest.approx(
            curved_beam_factor(10.0, radius_mm), rel=0.01
        )

    def test_anchor_forces_balance_the_load(self) -> None:
        """The anchors' pulls about the pivot edge add up to the load's moment, in proportion to height."""
        low_n, high_n = anchor_tensions_n(Bracket.of(PLAIN), 1800.0)
        assert 2 * low_n * 20 + 2 * high_n * 80 == pytest.approx(1800 * 120)
        assert high_n / low_n == pytest.approx(80 / 20)

    def test_bolt_resistances_are_those_of_the_code(self) -> None:
        """An M8 8.8 carries 21.1 kN in tension and 14.1 kN in shear, and both at once by EN 1993-1-8."""
        bolt = bolt_named("M8 8.8")
        assert anchor_utilisation(bolt, 0.9 * 800 * 36.6 / 1.25, 0.0) == pytest.approx(1.0)
        assert anchor_utilisation(bolt, 0.0, 0.6 * 800 * 36.6 / 1.25) == pytest.approx(1.0)
        assert anchor_utilisation(bolt, 10_000.0, 7_000.0) == pytest.approx(
            7_000 / 14_054.4 + 10_000 / 29_514.24
        )

    def test_pull_through_is_that_of_the_code(self) -> None:
        """An M8 head, 14.0 mm in the mean, punches through 10 mm of S355 at 99.3 kN."""
        assert pull_through_resistance_n(bolt_named("M8 8.8"), 10.0, 470.0) == pytest.approx(99_264, rel=1e-3)

    def test_flange_beside_a_gusset_by_hand(self) -> None:
        """The leg beside a gusset yields as a T-stub's flange in mode 1, over an end row's length."""
        # m = (50 - 5) / 2 - 0.8 * 3 = 20.1; e = 15; e1 = 11; l = 2 m + 0.625 e + e1 = 60.575 is the least.
        by_hand_n = 4 * (0.25 * 60.575 * 6**2 * 355) / 20.1
        assert flange_resistance_n(Bracket.of(RIBBED)) == pytest.approx(by_hand_n)

    def test_gusset_flexibility_matches_brute_force(self) -> None:
        """The solver's deflection with a tapering gusset is that of ten thousand slices a segment."""
        bracket, total = Bracket.of(RIBBED), 0.0
        for part in segments(bracket, 1800.0, bend_factor=1.0):
            for index in range(10_000):
                share = (index + 0.5) / 10_000
                moment = part.moment_start_nmm + (part.moment_end_nmm - part.moment_start_nmm) * share
                rib_mm = part.rib_start_mm + (part.rib_end_mm - part.rib_start_mm) * share
                total += moment**2 / tee_section(80.0, 6.0, 5.0, rib_mm)[2] * part.length_mm / 10_000
        shear_mm = 1.2 * 1800 * (120 - 15) / (210_000 / 2.6 * 480)
        assert simulate(RIBBED, 1800.0).deflection_mm == pytest.approx(
            total / 210_000 / 1800 + shear_mm, rel=2e-4
        )

    def test_solver_refines_until_it_settles(self) -> None:
        """A gusseted bracket takes several passes, each with twice the stations, the last changing little."""
        refinements = simulate(RIBBED, 1800.0).refinements
        assert len(refinements) > 2
        assert all(b.stations == 2 * a.stations for a, b in pairwise(refinements))
        assert refinements[-1].change < 2e-4 < refinements[-2].change

    @pytest.mark.parametrize("design", GUSSETS)
    def test_solver_finds_the_peak_beside_a_gusset(self, design: Design) -> None:
        """The solver misses at most a hundredth of what brute force finds, and screening a twentieth."""
        bracket, highest_mpa = Bracket.of(design), 0.0
        factor, rib = bend_concentration(design.thickness_mm, design.bend_radius_mm), design.gusset
        assert rib is not None
        for part in segments(bracket, 1800.0, bend_factor=factor):
            for index in range(5001):
                share = index / 5000
                moment = part.moment_start_nmm + (part.moment_end_nmm - part.moment_start_nmm) * share
                height_mm = part.rib_start_mm + (part.rib_end_mm - part.rib_start_mm) * share
                area, centroid, inertia = tee_section(80.0, design.thickness_mm, rib.thickness_mm, height_mm)
                inner_mm = abs(design.thickness_mm - centroid) * part.factor
                far_mm = max(centroid, inner_mm, design.thickness_mm + height_mm - centroid)
                highest_mpa = max(highest_mpa, moment * far_mm / inertia + part.axial_n / area)
        simulated_mpa = simulate(design, 1800.0).max_stress_mpa
        # The row of anchor holes may be worse still; brute force leaves it out.
        assert simulated_mpa >= 0.99 * highest_mpa
        assert screen(design, 1800.0).max_stress_mpa == pytest.approx(simulated_mpa, rel=0.05)

    def test_second_method_agrees_with_the_first(self) -> None:
        """With the load in its place both methods find the same stress within one per cent."""
        second = recheck(PLAIN, 1800.0, offset_mm=0.0)
        assert second.max_von_mises_mpa == pytest.approx(simulate(PLAIN, 1800.0).max_stress_mpa, rel=0.01)

    def test_a_load_off_its_place_is_worse(self) -> None:
        """A load further out and to one side lowers the second method's safety factor."""
        assert (
            recheck(PLAIN, 1800.0, offset_mm=5.0).safety_factor
            < recheck(PLAIN, 1800.0, offset_mm=0.0).safety_factor
        )

    def test_stress_is_linear_in_the_load(self) -> None:
        """Twice the load makes twice the stress and twice the deflection."""
        once, twice = simulate(RIBBED, 900.0), simulate(RIBBED, 1800.0)
        assert twice.max_stress_mpa == pytest.approx(2 * once.max_stress_mpa)
        assert twice.deflection_mm == pytest.approx(2 * once.deflection_mm)

    def test_a_weld_softens_aluminium(self) -> None:
        """A gusset halves the yield strength to reckon with in AW-6082, and leaves that of steel."""
        aluminium = {"material": "AW-6082-T6", "thickness_mm": 8.0, "bend_radius_mm": 24.0}
        assert Bracket.of(PLAIN.model_copy(update=aluminium)).yield_mpa == 255.0
        assert Bracket.of(PLAIN.model_copy(update={**aluminium, "gusset": RIB})).yield_mpa == 125.0
        assert Bracket.of(RIBBED).yield_mpa == 355.0

    def test_simulation_appends_its_passes_to_the_log(self, tmp_path: Path) -> None:
        """Each simulation adds the design, one line a pass and the verdict to the log."""
        log = tmp_path / "bracket.log"
        results: list[SimulationResult] = [simulate(design, 1800.0, log) for design in (PLAIN, RIBBED)]
        text = log.read_text(encoding="utf-8")
        assert text.count("load 1800 N") == 2
        assert f"{results[1].refinements[-1].max_stress_mpa:.3f}" in text
        assert len(text.splitlines()) == sum(len(result.refinements) + 4 for result in results)


class TestCatalogue:
    """Standard values and the numbered problems."""

    def test_standard_values(self) -> None:
        """Materials and bolts carry the nominal values of their standards."""
        assert (material_named("S235JR").yield_mpa, material_named("AW-6082-T6").density_kg_m3) == (
            235.0,
            2700.0,
        )
        assert (bolt_named("M8 8.8").stress_area_mm2, bolt_named("M8 8.8").hole_mm) == (36.6, 9.0)

    def test_search_fills_the_list_that_was_asked_for(self) -> None:
        """Searching plates of a material gives its stock thicknesses and nothing else."""
        answer = search_catalogue("plate", "S355J2")
        assert [plate.thickness_mm for plate in answer.plates] == [3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0]
        assert not answer.materials
        assert not answer.bolts

    @pytest.mark.parametrize("kind", ["material", "plate", "bolt"])
    def test_unknown_names_are_refused(self, kind: str) -> None:
        """What the catalogue does not hold is an error that says what it holds."""
        with pytest.raises(NotInCatalogue, match="choose one of"):
            search_catalogue(kind, "unobtainium")  # type: ignore[arg-type]
        with pytest.raises(NotInCatalogue):
            make_geometry(PLAIN.model_copy(update={"material": "unobtainium"}))

    def test_problems_are_the_same_everywhere(self) -> None:
        """A problem's number determines it wholly."""
        problem = Problem.numbered(17)
        assert problem == Problem.numbered(17)
        assert (problem.name, problem.load_n, problem.mounting.reach_mm) == ("bracket-17", 1800.0, 160.0)
        assert (
            len(
                {
                    Problem.numbered(number).model_copy(update={"number": 0, "name": ""})
                    for number in range(50)
                }
            )
            > 45
        )

    def test_problem_zero_is_the_textbook_case(self) -> None:
        """Problem 0 asks for 1.8 kN at 120 mm with a safety factor of 1.5."""
        problem = Problem.numbered(0)
        assert (problem.load_n, problem.mounting.reach_mm, problem.safety_min) == (1800.0, 120.0, 1.5)
