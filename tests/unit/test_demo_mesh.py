"""The demo's mesh: closed, of the right volume and area, and an STL file that anybody can read."""

import struct
from collections import Counter
from math import dist, pi
from pathlib import Path
from random import Random

import pytest

from stepstream.demo.bracket import Bracket, Design, GeometryError, Gusset
from stepstream.demo.catalogue import Mounting
from stepstream.demo.mesh import (
    MeshUnreadable,
    Triangle,
    build_mesh,
    enclosed_volume_mm3,
    export_mesh,
    is_watertight,
    measure_mesh,
    read_mesh,
)

MOUNTING = Mounting(reach_mm=120.0, anchor_low_mm=50.0, anchor_high_mm=120.0, anchor_spacing_mm=40.0)
PLAIN = Design(
    mounting=MOUNTING, material="S355J2", bolt="M6 8.8", thickness_mm=6.0, width_mm=66.0, bend_radius_mm=9.0
)
# The gusset stands between two rows of holes: the shortest bridges between holes would cross it.
RIBBED = PLAIN.model_copy(update={"gusset": Gusset(thickness_mm=3.0, along_arm_mm=100.0, along_wall_mm=80.0)})
LOW = PLAIN.model_copy(update={"gusset": Gusset(thickness_mm=8.0, along_arm_mm=30.0, along_wall_mm=20.0)})
DESIGNS = pytest.mark.parametrize("design", [PLAIN, RIBBED, LOW], ids=["plain", "ribbed", "low"])


def area_mm2(triangles: list[Triangle]) -> list[float]:
    """Heron's formula, triangle by triangle."""
    areas = []
    for a, b, c in triangles:
        x, y, z = sorted((dist(a, b), dist(b, c), dist(c, a)))
        areas.append(((x + (y + z)) * (x - (z - y)) * (x + (z - y)) * (z + (y - x))) ** 0.5 / 4.0)
    return areas


def analytic_area_mm2(bracket: Bracket) -> float:
    """The surface of a plain bracket: the profile's two sides, the strip round it, and the holes."""
    design, radius_mm = bracket.design, bracket.design.bend_radius_mm
    flats_mm = bracket.leg_height_mm + bracket.arm_length_mm - 2 * bracket.outer_bend_mm
    profile_mm2 = flats_mm * design.thickness_mm + pi / 4 * (bracket.outer_bend_mm**2 - radius_mm**2)
    around_mm = 2 * flats_mm + 2 * design.thickness_mm + pi / 2 * (bracket.outer_bend_mm + radius_mm)
    hole_mm = bracket.bolt.hole_mm
    holes_mm2 = 5 * (pi * hole_mm * design.thickness_mm - pi / 2 * hole_mm**2)
    return 2 * profile_mm2 + around_mm * design.width_mm + holes_mm2


def random_designs(count: int) -> list[Design]:
    """Designs of every shape that can be made, drawn with a fixed seed."""
    draw = Random(5)
    designs: list[Design] = []
    while len(designs) < count:
        low_mm, reach_mm = draw.uniform(40, 70), draw.uniform(80, 160)
        rib = Gusset(
            thickness_mm=draw.choice([3.0, 6.0, 10.0]),
            along_arm_mm=draw.uniform(10, reach_mm),
            along_wall_mm=draw.uniform(10, 120),
        )
        design = Design(
            mounting=Mounting(
                reach_mm=reach_mm,
                anchor_low_mm=low_mm,
                anchor_high_mm=low_mm + draw.uniform(30, 70),
                anchor_spacing_mm=draw.uniform(30, 60),
            ),
            material="S235JR",
            bolt=draw.choice(["M6 8.8", "M8 8.8", "M12 10.9"]),
            thickness_mm=draw.choice([3.0, 6.0, 10.0, 15.0]),
            width_mm=draw.uniform(60, 120),
            bend_radius_mm=draw.uniform(3, 40),
            gusset=rib if draw.random() < 0.7 else None,
        )
        try:
            Bracket.of(design)
        except GeometryError:
            continue
        designs.append(design)
    return designs


@DESIGNS
def test_every_edge_joins_two_triangles_in_opposite_directions(design: Design) -> None:
    """The mesh is watertight: each directed edge occurs once, and its reverse once."""
    edges = Counter(edge for a, b, c in build_mesh(Bracket.of(design)) for edge in ((a, b), (b, c), (c, a)))
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)


@DESIGNS
def test_volume_agrees_with_the_analytic_one(design: Design) -> None:
    """By the divergence theorem the mesh encloses the exact volume, but for the chords of its arcs."""
    bracket = Bracket.of(design)
    assert enclosed_volume_mm3(build_mesh(bracket)) == pytest.approx(bracket.volume_mm3, rel=2e-4)


def test_finer_chords_bring_the_volume_nearer() -> None:
    """A quarter of the chord height leaves about a quarter of the volume's error."""
    bracket = Bracket.of(RIBBED)
    coarse, fine = (
        abs(enclosed_volume_mm3(build_mesh(bracket, chord_mm)) - bracket.volume_mm3)
        for chord_mm in (0.08, 0.02)
    )
    assert coarse / fine == pytest.approx(4.0, rel=0.35)


def test_surface_area_agrees_with_the_analytic_one() -> None:
    """The triangles cover the surface once, without overlap and without slivers of no area."""
    areas = area_mm2(build_mesh(Bracket.of(PLAIN), 0.005))
    assert sum(areas) == pytest.approx(analytic_area_mm2(Bracket.of(PLAIN)), rel=1e-3)
    assert min(areas) > 1e-6


def test_mesh_fills_the_box_of_the_design() -> None:
    """The mesh reaches from the wall to the arm's tip and from the underside to the leg's top."""
    bracket = Bracket.of(RIBBED)
    points = {point for triangle in build_mesh(bracket) for point in triangle}
    spans = [(min(axis), max(axis)) for axis in zip(*points, strict=True)]
    assert spans == [(0.0, bracket.arm_length_mm), (-33.0, 33.0), (0.0, bracket.leg_height_mm)]


def test_any_design_that_can_be_made_can_be_meshed() -> None:
    """Sixty designs of all shapes give closed meshes of the right volume."""
    for design in random_designs(60):
        bracket, triangles = Bracket.of(design), build_mesh(Bracket.of(design), 0.1)
        assert is_watertight(triangles), str(design)
        assert enclosed_volume_mm3(triangles) == pytest.approx(bracket.volume_mm3, rel=2e-3), str(design)


def test_a_hole_in_the_surface_is_noticed() -> None:
    """Without one of its triangles, or with one turned over, a mesh is not watertight."""
    triangles = build_mesh(Bracket.of(PLAIN))
    a, b, c = triangles[7]
    assert is_watertight(triangles)
    assert not is_watertight(triangles[1:])
    assert not is_watertight([*triangles[:7], (a, c, b), *triangles[8:]])


@DESIGNS
def test_stl_file_reads_back_by_an_independent_reader(design: Design, tmp_path: Path) -> None:
    """The file is binary STL as the format says: header, count, and unit normals that match the winding."""
    path = tmp_path / "bracket.stl"
    report = export_mesh(design, path)
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data, 80)
    facets = list(struct.iter_unpack("<3f3f3f3fH", data[84:]))
    assert not data.startswith(b"solid")
    assert len(facets) == count == report.triangles
    assert len(data) == 84 + 50 * count == report.size_bytes
    volume = 0.0
    for nx, ny, nz, ax, ay, az, bx, by, bz, cx, cy, cz, attribute in facets:
        ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        assert nx * x + ny * y + nz * z == pytest.approx(dist((0, 0, 0), (x, y, z)), rel=1e-3)
        assert attribute == 0
        volume += (ax * x + ay * y + az * z) / 6.0
    assert volume == pytest.approx(Bracket.of(design).volume_mm3, rel=2e-4)


def test_measuring_a_file_finds_what_was_exported(tmp_path: Path) -> None:
    """A mesh read back has the same triangles and volume and is watertight in single precision."""
    path = tmp_path / "bracket.stl"
    exported, measured = export_mesh(RIBBED, path), measure_mesh(path)
    assert measured.watertight
    assert (measured.triangles, measured.vertices) == (exported.triangles, exported.vertices)
    assert measured.volume_mm3 == pytest.approx(exported.volume_mm3, rel=1e-6)
    assert measured.file_name == "bracket.stl"


@pytest.mark.parametrize(("keep_bytes", "reason"), [(40, "header"), (84 + 50 * 3 + 10, "ends after 3")])
def test_a_cut_off_file_is_refused(tmp_path: Path, keep_bytes: int, reason: str) -> None:
    """A file that ends early is an error that names the file and how far it goes."""
    path = tmp_path / "bracket.stl"
    export_mesh(PLAIN, path)
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(MeshUnreadable, match=rf"bracket\.stl.*{reason}"):
        list(read_mesh(path))


def test_a_design_that_cannot_be_made_leaves_no_file(tmp_path: Path) -> None:
    """The geometry is checked before the file is opened."""
    path = tmp_path / "bracket.stl"
    with pytest.raises(GeometryError):
        export_mesh(PLAIN.model_copy(update={"thickness_mm": 7.0}), path)
    assert not path.exists()
