"""The bracket as triangles: a closed surface, written to and read back from binary STL.

The solid is bounded by plane faces (some with holes, cut into triangles by clipping ears) and by strips of
quadrangles round the bend and the holes. Every face takes the very points of its neighbours' edges and adds
none of its own, so the surface closes by construction. Arcs are replaced by chords, so the volume differs a
little from the exact one: less the finer `chord_mm`, the greatest distance between an arc and its chord.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop
from itertools import pairwise
from math import acos, ceil, cos, dist, pi, sin
from pathlib import Path
from struct import Struct
from typing import Literal

from stepstream.demo.bracket import Bracket, Design, Gusset
from stepstream.demo.catalogue import Fact

CHORD_MM = 0.02

Point = tuple[float, float, float]
Loop = list[Point]
Triangle = tuple[Point, Point, Point]
Facing = Literal["+x", "-x", "+y", "-y", "+z", "-z"]

# The two axes a face is seen in, right-handed from outside.
AXES: dict[Facing, tuple[int, int]] = {
    "+x": (1, 2),
    "-x": (2, 1),
    "+y": (2, 0),
    "-y": (0, 2),
    "+z": (0, 1),
    "-z": (1, 0),
}

STL_HEADER = b"stepstream demo: wall bracket, millimetres".ljust(80)
STL_COUNT = Struct("<I")
STL_TRIANGLE = Struct("<12fH")


class MeshReport(Fact):
    """What a mesh file holds; `watertight`: every edge joins two triangles running along it oppositely."""

    file_name: str
    size_bytes: int
    triangles: int
    vertices: int
    watertight: bool
    volume_mm3: float


class MeshUnreadable(ValueError):
    """A file is not a binary STL mesh."""

    def __init__(self, path: Path, reason: str) -> None:
        """Name the file and what is wrong with it."""
        super().__init__(f"{path.name} is not a binary STL mesh: {reason}")
        self.path = path


class FaceCrossed(AssertionError):
    """A face could not be cut into triangles, though a ring that does not cross itself always has an ear."""

    def __init__(self, corners: int) -> None:
        """Say how much of the face was left."""
        super().__init__(f"a face with {corners} corners left has no ear: its outline crosses itself")


@dataclass(frozen=True, slots=True)
class Corner:
    """A corner of a polygon being cut: where it is seen in the face's two axes, and the point in space."""

    u: float
    v: float
    point: Point


def build_mesh(bracket: Bracket, chord_mm: float = CHORD_MM) -> list[Triangle]:
    """Return the closed surface of a bracket, every triangle counter-clockwise from outside."""
    return list(_Surface(bracket, chord_mm).triangles())


def export_mesh(design: Design, path: Path, chord_mm: float = CHORD_MM) -> MeshReport:
    """Write the mesh of a design to a binary STL file and report on it.

    Raises:
        GeometryError: The design cannot be made.
        NotInCatalogue: Its material or bolt does not exist.
        OSError: The file cannot be written.
    """
    triangles = build_mesh(Bracket.of(design), chord_mm)
    with path.open("wb") as file:
        file.write(STL_HEADER)
        file.write(STL_COUNT.pack(len(triangles)))
        for triangle in triangles:
            normal = _normal(triangle)
            file.write(STL_TRIANGLE.pack(*normal, *triangle[0], *triangle[1], *triangle[2], 0))
    return _report(path, triangles)


def measure_mesh(path: Path) -> MeshReport:
    """Read a binary STL file back and report on what it holds.

    Raises:
        MeshUnreadable: It is cut off, or no such file.
        OSError: It cannot be read.
    """
    return _report(path, list(read_mesh(path)))


def read_mesh(path: Path) -> Iterator[Triangle]:
    """Yield the triangles of a binary STL file.

    Raises:
        MeshUnreadable: It is cut off, or no such file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(len(STL_HEADER) + STL_COUNT.size)
        if len(head) < len(STL_HEADER) + STL_COUNT.size:
            raise MeshUnreadable(path, "it is shorter than a header")
        (count,) = STL_COUNT.unpack_from(head, len(STL_HEADER))
        for index in range(count):
            record = file.read(STL_TRIANGLE.size)
            if len(record) < STL_TRIANGLE.size:
                raise MeshUnreadable(path, f"it promises {count} triangles and ends after {index}")
            _, _, _, ax, ay, az, bx, by, bz, cx, cy, cz, _ = STL_TRIANGLE.unpack(record)
            yield (ax, ay, az), (bx, by, bz), (cx, cy, cz)


def is_watertight(triangles: Iterable[Triangle]) -> bool:
    """Say whether every edge is shared by exactly two triangles that run along it in opposite directions."""
    edges = Counter(edge for a, b, c in triangles for edge in ((a, b), (b, c), (c, a)))
    return all(count == 1 and (b, a) in edges for (a, b), count in edges.items())


def enclosed_volume_mm3(triangles: Iterable[Triangle]) -> float:
    """Return the volume inside a closed surface: by the divergence theorem, sum of a . (b x c) / 6."""
    return (
        sum(
            ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
            for (ax, ay, az), (bx, by, bz), (cx, cy, cz) in triangles
        )
        / 6.0
    )


def _report(path: Path, triangles: Sequence[Triangle]) -> MeshReport:
    return MeshReport(
        file_name=path.name,
        size_bytes=path.stat().st_size,
        triangles=len(triangles),
        vertices=len({point for triangle in triangles for point in triangle}),
        watertight=is_watertight(triangles),
        volume_mm3=enclosed_volume_mm3(triangles),
    )


def _normal(triangle: Triangle) -> Point:
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = triangle
    ux, uy, uz, vx, vy, vz = bx - ax, by - ay, bz - az, cx - ax, cy - ay, cz - az
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = dist((0.0, 0.0, 0.0), (x, y, z))
    return x / length, y / length, z / length


class _Surface:
    """The faces of one bracket, in the coordinates of `bracket.py`."""

    def __init__(self, bracket: Bracket, chord_mm: float) -> None:
        design = bracket.design
        self._design = design
        self._bracket = bracket
        self._half_mm = design.width_mm / 2.0
        self._rib = design.gusset
        edge_mm, radius_mm, thickness_mm = bracket.outer_bend_mm, design.bend_radius_mm, design.thickness_mm
        quarter = max(4, _chords(edge_mm, chord_mm) // 4)
        angles = [pi / 2.0 * index / quarter for index in range(quarter + 1)]
        # From the arm up to the leg; the ends are set to the flats' own coordinates so that they are the same
        # points.
        self._outer = [(edge_mm - edge_mm * sin(angle), edge_mm - edge_mm * cos(angle)) for angle in angles]
        self._inner = [
            (edge_mm - radius_mm * sin(angle), edge_mm - radius_mm * cos(angle)) for angle in angles
        ]
        self._outer[0], self._outer[-1] = (edge_mm, 0.0), (0.0, edge_mm)
        self._inner[0], self._inner[-1] = (edge_mm, thickness_mm), (thickness_mm, edge_mm)
        count = _chords(bracket.bolt.hole_mm / 2.0, chord_mm)
        radius = bracket.bolt.hole_mm / 2.0
        turns = [2.0 * pi * index / count for index in range(count)]
        self._circle = [(radius * cos(turn), radius * sin(turn)) for turn in turns]

    def triangles(self) -> Iterator[Triangle]:
        """Yield the whole surface."""
        yield from self._leg()
        yield from self._arm()
        yield from self._sides()
        yield from self._bend()
        if self._rib is not None:
            yield from self._gusset(self._rib)

    def _leg(self) -> Iterator[Triangle]:
        mounting, half = self._design.mounting, self._half_mm
        top, start, front = (
            self._bracket.leg_height_mm,
            self._bracket.outer_bend_mm,
            self._design.thickness_mm,
        )
        rows, column = (mounting.anchor_low_mm, mounting.anchor_high_mm), mounting.anchor_spacing_mm / 2.0
        centres = [(y, z) for z in rows for y in (-column, column)]
        backs = [[(0.0, y + u, z + v) for u, v in self._circle] for y, z in centres]
        fronts = [[(front, y + u, z + v) for u, v in self._circle] for y, z in centres]
        yield from _plane("-x", _rectangle((0.0, start), (0.0, top), half), backs)
        outline = _rectangle((front, start), (front, top), half)
        if self._rib is not None:
            over, rib = front + self._rib.along_wall_mm, self._rib.thickness_mm / 2.0
            outline[1:1] = [
                (front, -rib, start),
                (front, -rib, over),
                (front, rib, over),
                (front, rib, start),
            ]
        yield from _plane("+x", outline, fronts)
        for back, fore in zip(backs, fronts, strict=True):
            yield from _tube(back, fore)
        yield from _plane("+z", _rectangle((0.0, top), (front, top), half))

    def _arm(self) -> Iterator[Triangle]:
        reach, half = self._design.mounting.reach_mm, self._half_mm
        start, tip, top = self._bracket.outer_bend_mm, self._bracket.arm_length_mm, self._design.thickness_mm
        under = [(reach + u, v, 0.0) for u, v in self._circle]
        over = [(reach + u, v, top) for u, v in self._circle]
        yield from _plane("-z", _rectangle((start, 0.0), (tip, 0.0), half), [under])
        outline = _rectangle((start, top), (tip, top), half)
        if self._rib is not None:
            toe, rib = top + self._rib.along_arm_mm, self._rib.thickness_mm / 2.0
            outline[1:1] = [(start, -rib, top), (toe, -rib, top), (toe, rib, top), (start, rib, top)]
        yield from _plane("+z", outline, [over])
        yield from _tube(under, over)
        yield from _plane("+x", _rectangle((tip, 0.0), (tip, top), half))

    def _sides(self) -> Iterator[Triangle]:
        top, tip = self._bracket.leg_height_mm, self._bracket.arm_length_mm
        thickness_mm, half = self._design.thickness_mm, self._half_mm
        ends = [(0.0, top), (thickness_mm, top)], [(tip, thickness_mm), (tip, 0.0)]
        profile = [*self._outer, *ends[0], *reversed(self._inner), *ends[1]]
        yield from _plane("-y", [(x, -half, z) for x, z in profile])
        yield from _plane("+y", [(x, half, z) for x, z in profile])

    def _bend(self) -> Iterator[Triangle]:
        half = self._half_mm
        yield from _band(self._outer, -half, half)
        if self._rib is None:
            yield from _band(self._inner, half, -half)
        else:
            rib = self._rib.thickness_mm / 2.0
            yield from _band(self._inner, half, rib)
            yield from _band(self._inner, -rib, -half)

    def _gusset(self, rib: Gusset) -> Iterator[Triangle]:
        corner, half = self._design.thickness_mm, rib.thickness_mm / 2.0
        slope = [(corner + rib.along_arm_mm, corner), (corner, corner + rib.along_wall_mm)]
        profile = [*self._inner, *reversed(slope)]
        yield from _plane("-y", [(x, -half, z) for x, z in profile])
        yield from _plane("+y", [(x, half, z) for x, z in profile])
        yield from _band(slope, half, -half)


def _chords(radius_mm: float, chord_mm: float) -> int:
    """Return how many chords a circle needs to keep within `chord_mm` of it, as a multiple of four."""
    angle = 2.0 * acos(1.0 - min(chord_mm, radius_mm) / radius_mm)
    return 4 * max(2, ceil(2.0 * pi / angle / 4.0))


def _rectangle(start: tuple[float, float], end: tuple[float, float], half_mm: float) -> Loop:
    """Return the rectangle across the plate between two points of its profile, beginning at the first."""
    (x, z), (to_x, to_z) = start, end
    return [(x, -half_mm, z), (x, half_mm, z), (to_x, half_mm, to_z), (to_x, -half_mm, to_z)]


def _band(profile: Sequence[tuple[float, float]], near_mm: float, far_mm: float) -> Iterator[Triangle]:
    """Yield the strip that a line of the profile sweeps across the width.

    Seen from outside, walking along the profile, `far_mm` is on the left.
    """
    yield from _strip([(x, near_mm, z) for x, z in profile], [(x, far_mm, z) for x, z in profile])


def _tube(near: Loop, far: Loop) -> Iterator[Triangle]:
    """Yield the wall of a hole between two loops, both counter-clockwise seen from the far end."""
    yield from _strip([*far, far[0]], [*near, near[0]])


def _strip(right: Loop, left: Loop) -> Iterator[Triangle]:
    for (a, b), (d, c) in zip(pairwise(right), pairwise(left), strict=True):
        yield a, b, c
        yield a, c, d


def _plane(facing: Facing, outline: Loop, holes: Sequence[Loop] = ()) -> Iterator[Triangle]:
    """Yield the triangles of a plane face with holes, whichever way round its loops are given."""
    u, v = AXES[facing]
    ring = [Corner(point[u], point[v], point) for point in outline]
    if _area(ring) < 0.0:
        ring.reverse()
    inner = [[Corner(point[u], point[v], point) for point in hole] for hole in holes]
    for hole in inner:
        if _area(hole) > 0.0:
            hole.reverse()
    yield from _clip(_bridged(ring, inner))


def _area(ring: Sequence[Corner]) -> float:
    return sum(a.u * b.v - b.u * a.v for a, b in pairwise([*ring, ring[0]])) / 2.0


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    """Return twice the area of a triangle: positive where the way from a over b to c turns left."""
    return (b.u - a.u) * (c.v - a.v) - (b.v - a.v) * (c.u - a.u)


def _bridged(ring: list[Corner], holes: list[list[Corner]]) -> list[Corner]:
    """Return one ring that walks round the outline and, over bridges it crosses twice, round every hole.

    A bridge is the shortest way from the ring to a hole that crosses no side of the ring; it meets no other
    hole either, or that would be nearer.
    """
    while holes:
        bridges = [
            ((a.u - b.u) ** 2 + (a.v - b.v) ** 2, at, index, start)
            for at, a in enumerate(ring)
            for index, hole in enumerate(holes)
            for start, b in enumerate(hole)
        ]
        heapify(bridges)
        _, at, index, start = heappop(bridges)
        while not _is_open(ring, at, holes[index][start]):
            _, at, index, start = heappop(bridges)
        hole = holes.pop(index)
        ring = [*ring[: at + 1], *hole[start:], *hole[: start + 1], *ring[at:]]
    return ring


def _is_open(ring: Sequence[Corner], at: int, target: Corner) -> bool:
    """Say whether a corner of the ring sees a target: inside its angle, and no side of the ring between."""
    corner = ring[at]
    return _opens_to(ring[at - 1], corner, ring[(at + 1) % len(ring)], target) and not any(
        _turn(corner, target, a) * _turn(corner, target, b) < 0.0
        and _turn(a, b, corner) * _turn(a, b, target) < 0.0
        for a, b in pairwise([*ring, ring[0]])
    )


def _opens_to(before: Corner, corner: Corner, after: Corner, target: Corner) -> bool:
    """Say whether a target lies inside the angle of a corner of a counter-clockwise ring."""
    left_of_entry, left_of_exit = _turn(before, corner, target) > 0.0, _turn(corner, after, target) > 0.0
    if _turn(before, corner, after) > 0.0:
        return left_of_entry and left_of_exit
    return left_of_entry or left_of_exit


def _clip(ring: Sequence[Corner]) -> Iterator[Triangle]:
    """Yield the triangles of a ring, cutting off one ear after the other (Meisters, 1975)."""
    following = [*range(1, len(ring)), 0]
    previous = [len(ring) - 1, *range(len(ring) - 1)]
    reflex = {i for i in range(len(ring)) if _turn(ring[previous[i]], ring[i], ring[following[i]]) <= 0.0}
    at, left, misses = 0, len(ring), 0
    while left > 3:
        before, after = previous[at], following[at]
        if at in reflex or not _is_ear(ring[before], ring[at], ring[after], [ring[i] for i in reflex]):
            at, misses = after, misses + 1
            if misses > left:
                raise FaceCrossed(left)
            continue
        yield ring[before].point, ring[at].point, ring[after].point
        following[before], previous[after] = after, before
        for i in (before, after):
            if _turn(ring[previous[i]], ring[i], ring[following[i]]) > 0.0:
                reflex.discard(i)
            else:
                reflex.add(i)
        at, left, misses = following[after], left - 1, 0
    yield ring[previous[at]].point, ring[at].point, ring[following[at]].point


def _is_ear(a: Corner, b: Corner, c: Corner, reflex: Iterable[Corner]) -> bool:
    """Say whether no reflex corner, but for copies of its own corners, lies in a triangle."""
    own = (a.point, b.point, c.point)
    return not any(
        _turn(a, b, p) >= 0.0 and _turn(b, c, p) >= 0.0 and _turn(c, a, p) >= 0.0 and p.point not in own
        for p in reflex
    )
