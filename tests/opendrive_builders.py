"""Small OpenDRIVE documents for tests."""

from __future__ import annotations


def lane_xml(id: int, type: str = "driving", width: float = 3.0, inside: str = "") -> str:
    """A lane; `inside` holds its links, markings and speeds."""
    return f'<lane id="{id}" type="{type}"><width sOffset="0" a="{width}" b="0" c="0" d="0"/>{inside}</lane>'


def section_xml(*lanes: str, s: float = 0.0) -> str:
    """A lane section; lanes in any order, sides told by their ids."""
    sides = {"left": "", "center": '<lane id="0" type="none"/>', "right": ""}
    for lane in lanes:
        sides["right" if 'id="-' in lane else "center" if 'id="0"' in lane else "left"] += lane
    inside = "".join(f"<{side}>{text}</{side}>" for side, text in sides.items())
    return f'<laneSection s="{s}">{inside}</laneSection>'


def road_xml(
    *sections: str,
    id: str = "1",
    length: float = 100.0,
    plan: str | None = None,
    shape: str = "<line/>",
    start: tuple[float, float, float] = (0.0, 0.0, 0.0),
    attributes: str = "",
    offsets: str = "",
    inside: str = "",
) -> str:
    """A road of one shape from a start (x, y, heading), with one 3 m lane each way unless told otherwise."""
    x, y, heading = start
    plan = plan or f'<geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{length}">{shape}</geometry>'
    lanes = "".join(sections) or section_xml(lane_xml(1), lane_xml(-1))
    junction = "" if "junction=" in attributes else ' junction="-1"'
    return (
        f'<road id="{id}" name="" length="{length}"{junction} {attributes}><planView>{plan}</planView>'
        f"<lanes>{offsets}{lanes}</lanes>{inside}</road>"
    )


def document_xml(*parts: str) -> str:
    """Roads, junctions and controllers as a document."""
    header = '<header revMajor="1" revMinor="6"><geoReference>+proj=tmerc</geoReference></header>'
    return f"<OpenDRIVE>{header}{''.join(parts) or road_xml()}</OpenDRIVE>"
