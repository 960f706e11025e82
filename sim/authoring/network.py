"""Roads and junctions as a town's author thinks of them: named lanes, joined by name. Used by make_towns.py.

Right-hand traffic. Lanes are listed from the road's reference line outwards; the lanes on the right are
driven along the road, those on the left against it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from geometry import Path, Pose, join

Knots = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Lane:
    name: str  # joins the lane to others
    type: str  # of OpenDRIVE: driving, sidewalk, parking, median, biking
    width: Knots  # (s, m), joined by smooth steps; where two knots in a row are 0 the lane is absent
    mark: str = "none"  # at its outer edge: broken, solid, curb or none

    def absent(self, s: float) -> bool:
        """Whether a section around s leaves the lane out."""
        pieces = zip(self.width[:-1], self.width[1:], strict=True)
        return any(a[0] <= s <= b[0] and a[1] == b[1] == 0 for a, b in pieces)

    def width_at(self, s: float) -> float:
        if s <= self.width[0][0]:
            return self.width[0][1]
        for (s0, w0), (s1, w1) in zip(self.width[:-1], self.width[1:], strict=True):
            if s <= s1:
                u = (s - s0) / (s1 - s0)
                return w0 + (w1 - w0) * u * u * (3 - 2 * u)
        return self.width[-1][1]


def lane(name: str, type_: str, width: float | Knots, mark: str = "none") -> Lane:
    """A lane, of one width or of several along the road."""
    knots = width if isinstance(width, tuple) else ((0.0, width),)
    return Lane(name=name, type=type_, width=knots, mark=mark)


@dataclass(frozen=True, kw_only=True)
class Crosswalk:
    id: str
    s: float  # its middle
    t: float
    along: float  # metres along the road
    across: float


@dataclass(frozen=True, kw_only=True)
class Signal:
    id: str
    name: str
    type: str  # 1000001 a traffic light, 205 give way
    s: float
    t: float
    along: bool  # it speaks to traffic along the road (otherwise against it)
    lanes: tuple[int, int]  # the lowest and highest lane id it speaks to
    dynamic: bool


@dataclass(frozen=True, kw_only=True)
class Link:
    kind: str  # road or junction
    id: str
    contact: str = ""  # start or end, of a road


@dataclass(kw_only=True)
class Road:
    """One road; links, crosswalks and signals are added while the town grows."""

    id: str
    name: str
    path: Path
    left: tuple[Lane, ...]
    right: tuple[Lane, ...]
    height: tuple[tuple[float, float, float], ...]  # (s, z, slope along the road)
    speed: float  # km/h
    centre_mark: str
    junction: str = "-1"
    predecessor: Link | None = None
    successor: Link | None = None
    lane_links: dict[int, tuple[int, int]] = field(default_factory=dict)  # of a connecting road: from, to
    crosswalks: list[Crosswalk] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)

    @property
    def length(self) -> float:
        return self.path.length

    def cuts(self) -> list[float]:
        """Where lane sections begin: 0, and wherever a lane appears or ends."""
        starts = {0.0}
        for each in self.left + self.right:
            for (s0, w0), (s1, w1) in zip(each.width[:-1], each.width[1:], strict=True):
                if w0 == w1 == 0:
                    starts |= {s0, s1}
        return sorted(s for s in starts if 0 <= s < self.length - 1e-6)

    def present(self, s: float, side: int) -> list[tuple[int, Lane]]:
        """Lane ids and lanes on one side (+1 left, -1 right) of the section around s, from inside out."""
        lanes = [each for each in (self.left if side > 0 else self.right) if not each.absent(s)]
        return [(side * (index + 1), each) for index, each in enumerate(lanes)]

    def edges(self, s: float, side: int, name: str) -> tuple[float, float]:
        """t of a lane's inner and outer edge; a lane that is absent has no width."""
        t = 0.0
        for each in self.left if side > 0 else self.right:
            width = 0.0 if each.absent(s) else each.width_at(s)
            if each.name == name:
                return side * t, side * (t + width)
            t += width
        raise ValueError(f"road {self.id} ({self.name}) has no lane {name} on side {side}")

    def z(self, s: float) -> float:
        a, b, c, d, s0 = self.height_cubics()[0]
        for cubic in self.height_cubics():
            if cubic[4] <= s:
                a, b, c, d, s0 = cubic
        u = s - s0
        return a + u * (b + u * (c + u * d))

    def height_cubics(self) -> list[tuple[float, float, float, float, float]]:
        """Cubic Hermite pieces a, b, c, d from s0 through the knots of height."""
        cubics = []
        for (s0, z0, m0), (s1, z1, m1) in zip(self.height[:-1], self.height[1:], strict=True):
            h = s1 - s0
            mean = (z1 - z0) / h
            cubics.append((z0, m0, (3 * mean - 2 * m0 - m1) / h, (m0 + m1 - 2 * mean) / h**2, s0))
        return cubics or [(self.height[0][1], self.height[0][2], 0.0, 0.0, 0.0)]


@dataclass(frozen=True)
class Arm:
    """One end of a road, as seen from a junction there."""

    road: Road
    end: str  # start or end

    @property
    def s(self) -> float:
        return 0.0 if self.end == "start" else self.road.length

    @property
    def pose(self) -> Pose:
        """On the reference line, heading into the junction."""
        pose = self.road.path.pose(self.s)
        return pose if self.end == "end" else Pose(pose.x, pose.y, pose.heading + math.pi)

    @property
    def inward(self) -> int:
        """The side of the road on which traffic comes into the junction."""
        return -1 if self.end == "end" else 1

    @property
    def slope(self) -> float:
        """Of the height, along the way into the junction."""
        step = 1e-4
        if self.end == "start":
            return (self.road.z(0) - self.road.z(step)) / step
        return (self.road.z(self.s) - self.road.z(self.s - step)) / step

    def lanes(self, names: Sequence[str], side: int) -> list[tuple[int, Lane]]:
        """The named lanes at this end with their ids; they must lie side by side."""
        here = self.road.present(self.s, side)
        found = [pair for name in names for pair in here if pair[1].name == name]
        ids = [abs(number) for number, _ in found]
        if len(found) != len(names) or ids != list(range(ids[0], ids[0] + len(ids))):
            raise ValueError(f"road {self.road.id}: lanes {names} are not side by side at its {self.end}")
        return found


# From an arm to an arm; its lanes and theirs, from the inside outwards, as words.
Move = tuple[Arm, str, Arm, str]


@dataclass(frozen=True, kw_only=True)
class Connection:
    incoming: str
    connecting: str
    links: tuple[tuple[int, int], ...]


@dataclass(kw_only=True)
class Junction:
    id: str
    name: str
    connections: list[Connection] = field(default_factory=list)
    controllers: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Network:
    """A town that grows road by road; ids count up in the order of making."""

    name: str
    comment: str
    roads: list[Road] = field(default_factory=list)
    junctions: list[Junction] = field(default_factory=list)
    controllers: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)  # id, name, signals
    _marks: int = 0

    def road(
        self,
        name: str,
        path: Path,
        *,
        left: Sequence[Lane],
        right: Sequence[Lane],
        height: Sequence[tuple[float, float, float]] = ((0.0, 0.0, 0.0),),
        speed: float,
        centre_mark: str = "broken",
    ) -> Road:
        made = Road(
            id=str(len(self.roads)),
            name=name,
            path=path,
            left=tuple(left),
            right=tuple(right),
            height=tuple(height),
            speed=speed,
            centre_mark=centre_mark,
        )
        self.roads.append(made)
        return made

    def follow(self, first: Road, second: Road) -> None:
        """The second road goes on where the first ends."""
        first.successor = Link(kind="road", id=second.id, contact="start")
        second.predecessor = Link(kind="road", id=first.id, contact="end")

    def junction(self, name: str, moves: Sequence[Move], speed: float) -> Junction:
        """Joins arms by one connecting road a move."""
        made = Junction(id=str(1000 + len(self.junctions)), name=name)
        self.junctions.append(made)
        for source, source_lanes, target, target_lanes in moves:
            self._connect(made, source, source_lanes.split(), target, target_lanes.split(), speed)
        for arm in [move[0] for move in moves] + [move[2] for move in moves]:
            link = Link(kind="junction", id=made.id)
            if arm.end == "start":
                arm.road.predecessor = link
            else:
                arm.road.successor = link
        return made

    def _connect(
        self, junction: Junction, a: Arm, a_names: list[str], b: Arm, b_names: list[str], speed: float
    ) -> None:
        came, goes = a.lanes(a_names, a.inward), b.lanes(b_names, -b.inward)
        start = a.pose.beside(-abs(a.road.edges(a.s, a.inward, a_names[0])[0]))
        back = Pose(b.pose.x, b.pose.y, b.pose.heading + math.pi)
        path = join(start, back.beside(-abs(b.road.edges(b.s, -b.inward, b_names[0])[0])))
        lanes = []
        for (_, old), (_, new) in zip(came, goes, strict=True):
            widths = ((0.0, old.width_at(a.s)), (path.length, new.width_at(b.s)))
            lanes.append(Lane(name=new.name, type=new.type, width=widths))
        room = min((1 / abs(p.curvature) for p in path.pieces if p.curvature < 0), default=math.inf)
        if room - sum(each.width_at(0) for each in lanes) < 1:
            raise ValueError(
                f"{junction.name}: the turn from {a.road.name} is too tight, radius {room:.1f} m"
            )
        heights = ((0.0, a.road.z(a.s), a.slope), (path.length, b.road.z(b.s), -b.slope))
        road = self.road("", path, left=(), right=lanes, height=heights, speed=speed, centre_mark="none")
        road.junction = junction.id
        road.predecessor = Link(kind="road", id=a.road.id, contact=a.end)
        road.successor = Link(kind="road", id=b.road.id, contact=b.end)
        pairs = [(old, new) for (old, _), (new, _) in zip(came, goes, strict=True)]
        road.lane_links = {-1 - index: pair for index, pair in enumerate(pairs)}
        links = tuple((old, -1 - index) for index, (old, _) in enumerate(pairs))
        junction.connections.append(Connection(incoming=a.road.id, connecting=road.id, links=links))

    def crosswalk(self, road: Road, s: float, t: tuple[float, float], along: float = 3.5) -> str:
        """A marked crossing from t to t, `along` metres wide, its middle at s; gives back the object's id."""
        self._marks += 1
        mark = str(5000 + self._marks)
        road.crosswalks.append(Crosswalk(id=mark, s=s, t=sum(t) / 2, along=along, across=abs(t[1] - t[0])))
        return mark

    def light(self, arm: Arm, before: float, names: str) -> str:
        """A traffic light for the named lanes into a junction, on a pole outside the sidewalk."""
        return self._signal(arm, before, names, "light", "1000001", dynamic=True)

    def give_way(self, arm: Arm, before: float, names: str) -> str:
        """A give-way sign for the named lanes into a junction."""
        return self._signal(arm, before, names, "give_way", "205", dynamic=False)

    def _signal(self, arm: Arm, before: float, names: str, name: str, type_: str, *, dynamic: bool) -> str:
        self._marks += 1
        mark = str(5000 + self._marks)
        s = arm.s + before * arm.inward
        outer = max(abs(edge) for edge in arm.road.edges(s, arm.inward, "walk"))
        ids = sorted(number for number, _ in arm.lanes(names.split(), arm.inward))
        arm.road.signals.append(
            Signal(
                id=mark,
                name=name,
                type=type_,
                s=s,
                t=arm.inward * (outer + 0.3),
                along=arm.inward < 0,
                lanes=(ids[0], ids[-1]),
                dynamic=dynamic,
            )
        )
        return mark

    def controller(self, junction: Junction, name: str, signals: Sequence[str]) -> None:
        """Signals of a junction that show the same."""
        mark = str(3000 + len(self.controllers))
        self.controllers.append((mark, name, tuple(signals)))
        junction.controllers.append(mark)


def simple_moves(arms: Sequence[Arm]) -> list[Move]:
    """Everybody may turn everywhere, one driving lane each; sidewalks go round the corners.

    `arms` stand in counter-clockwise order, so the next arm is the first to the right of who comes in.
    """
    moves = []
    for index, source in enumerate(arms):
        for offset in range(1, len(arms)):
            lanes = "drive walk" if offset == 1 else "drive"
            moves.append((source, lanes, arms[(index + offset) % len(arms)], lanes))
    return moves
