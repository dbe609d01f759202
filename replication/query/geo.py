"""Regions on the surface of the earth, and which points lie in them. [QUERY-110]

Rule 1: a point is a longitude and a latitude in degrees; the earth is a sphere, and a distance is
        an angle in radians. Sides of polygons are the shortest lines between their ends.
Rule 2: a box lies between two parallels and two meridians, and goes east from its first corner:
        one whose first longitude is the greater crosses the 180th meridian.
Rule 3: inside of a polygon is what lies within its first ring and in none of the others. A ring
        that goes round a pole holds the pole that its corners are nearer to.
Rule 4: an object is a point when it is an embedded object or dictionary with `type` "Point" and
        `coordinates`: longitude, latitude, and whatever follows. [QUERY-111]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

from replication.errors import QueryError
from replication.limits import QUERY_POLYGON_POINTS_MAX

#: Longitude and latitude in degrees.
Point: TypeAlias = tuple[float, float]
Ring: TypeAlias = tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """What lies between two corners, the first one in the south-west."""

    low: Point
    high: Point

    def __post_init__(self) -> None:
        _check_points((self.low, self.high))
        if self.low[1] > self.high[1]:
            raise QueryError(
                f"geoBox: the first corner lies north of the second: {self.low[1]!r} is more than"
                f" {self.high[1]!r}"
            )

    @property
    def text(self) -> str:
        """As queries spell it."""
        return f"geoBox({_point_text(self.low)}, {_point_text(self.high)})"

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it or on its border."""
        longitude, latitude = point
        if not self.low[1] <= latitude <= self.high[1]:
            return False
        west, east = self.low[0], self.high[0]
        if west <= east:
            return west <= longitude <= east
        return longitude >= west or longitude <= east


@dataclass(frozen=True, slots=True)
class Circle:
    """What is not farther from a point than an angle, in radians."""

    center: Point
    radius: float

    def __post_init__(self) -> None:
        _check_points((self.center,))
        if not 0 <= self.radius < math.inf:
            raise QueryError(f"geoCircle: a radius is 0 or more radians, not {self.radius!r}")

    @property
    def text(self) -> str:
        """As queries spell it."""
        return f"geoCircle({_point_text(self.center)}, {float(self.radius)!r})"

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it, by the haversine formula."""
        (x1, y1), (x2, y2) = self.center, point
        phi1, phi2 = math.radians(y1), math.radians(y2)
        across = math.sin(math.radians(x2 - x1) / 2)
        up = math.sin((phi2 - phi1) / 2)
        half = min(1.0, up * up + math.cos(phi1) * math.cos(phi2) * across * across)
        return 2 * math.asin(math.sqrt(half)) <= self.radius


@dataclass(frozen=True, slots=True)
class Polygon:
    """What lies within a closed ring and in none of its holes."""

    outer: Ring
    holes: tuple[Ring, ...] = ()

    def __post_init__(self) -> None:
        rings = (self.outer, *self.holes)
        if sum(map(len, rings)) > QUERY_POLYGON_POINTS_MAX:
            raise QueryError(f"geoPolygon: more than {QUERY_POLYGON_POINTS_MAX} points")
        for ring in rings:
            _check_points(ring)
            if len(set(ring)) < 3:
                raise QueryError("geoPolygon: a ring needs three different points or more")
            if ring[0] != ring[-1]:
                raise QueryError(
                    "geoPolygon: a ring ends where it begins:"
                    f" {_point_text(ring[0])} is not {_point_text(ring[-1])}"
                )

    @property
    def text(self) -> str:
        """As queries spell it."""
        rings = (self.outer, *self.holes)
        shown = ["{" + ", ".join(map(_point_text, ring)) + "}" for ring in rings]
        return f"geoPolygon({', '.join(shown)})"

    def holds(self, point: Point) -> bool:
        """Whether a point lies in it; what lies on a side belongs to one of the two."""
        if not _ring_holds(self.outer, point):
            return False
        return not any(_ring_holds(hole, point) for hole in self.holes)


Shape: TypeAlias = Box | Circle | Polygon
SHAPES: Final = (Box, Circle, Polygon)


def point_of(value: object) -> Point | None:
    """The point that an embedded object or dictionary is; None for anything else. Rule 4."""
    if not isinstance(value, dict) or value.get("type") != "Point":
        return None
    coordinates = value.get("coordinates")
    if not isinstance(coordinates, list) or len(coordinates) < 2:
        return None
    numbers = [float(each) for each in coordinates[:2] if isinstance(each, int | float)]
    if len(numbers) < 2 or isinstance(coordinates[0], bool) or isinstance(coordinates[1], bool):
        return None
    longitude, latitude = numbers
    if -180 <= longitude <= 180 and -90 <= latitude <= 90:
        return longitude, latitude
    return None


def _check_points(points: Sequence[Any]) -> None:
    for longitude, latitude in points:
        if not (-180 <= longitude <= 180 and -90 <= latitude <= 90):
            raise QueryError(
                f"[{longitude!r}, {latitude!r}] is no point: longitude is within -180..180,"
                " latitude within -90..90"
            )


def _point_text(point: Point) -> str:
    return f"[{float(point[0])!r}, {float(point[1])!r}]"


def _ring_holds(ring: Ring, point: Point) -> bool:
    # Whether the meridian from the point to the north pole crosses the ring an odd number of
    # times: then the point is where the pole is not.
    longitude, latitude = point
    crossings = 0
    turned = 0.0
    height = 0.0
    for (x1, y1), (x2, y2) in pairwise(ring):
        along = _turn(x2 - x1)
        turned += along
        height += y1
        here = _turn(longitude - x1)
        inside = 0 <= here < along if along > 0 else along < here <= 0 and along != 0
        if inside and _latitude_at(y1, y2, along, here) > latitude:
            crossings += 1
    around_a_pole = abs(turned) > 180
    holds_north = around_a_pole and height > 0
    return (crossings % 2 == 1) is not holds_north


def _turn(degrees: float) -> float:
    """A difference of longitudes, the short way: over -180 up to 180."""
    turned = math.fmod(degrees, 360)
    if turned > 180:
        return turned - 360
    return turned + 360 if turned <= -180 else turned


def _latitude_at(y1: float, y2: float, along: float, here: float) -> float:
    # Where the shortest line between two points has a longitude in between.
    if abs(y1) == 90 or abs(y2) == 90:
        return y1 if abs(y1) == 90 else y2
    whole, part = math.radians(along), math.radians(here)
    rise = math.tan(math.radians(y1)) * math.sin(whole - part)
    rise += math.tan(math.radians(y2)) * math.sin(part)
    run = math.sin(whole)
    return math.degrees(math.atan2(rise, run) if whole > 0 else math.atan2(-rise, -run))
