"""Calls by name: how they are registered, and how their results go over the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from drivewm.errors import InputError
from drivewm_sim.carla_server import layouts
from drivewm_sim.carla_server.actors import Actor
from drivewm_sim.carla_server.layouts import (
    Malformed,
    fields,
)
from drivewm_sim.carla_server.streams import token
from drivewm_sim.carla_server.world import Refused, World


class Returns(Enum):
    VALUE = 0
    NOTHING = 1
    BARE = 2  # the value without a wrapping response


@dataclass
class Session:
    """One client's view of the server."""

    world: World
    address: str  # of this server, as the client reached it
    stream_port: int
    managers: set[int] = field(default_factory=set)  # ports of its Traffic Managers
    ticked: bool = False  # a call of this client has ticked the world: sensors are due once it is answered

    def tick(self) -> int:
        self.ticked = True
        return self.world.tick(self.world.step_s)

    def leave(self) -> None:
        """A client that is gone takes its Traffic Managers along: others would look for them in vain."""
        for port in self.managers:
            self.world.traffic_managers.pop(port, None)

    def token(self, stream: int) -> bytes:
        return token(stream, self.stream_port, self.address)

    def info(self, actor: Actor) -> layouts.ActorInfo:
        return actor.info(self.token(actor.stream_id) if actor.stream_id else b"")


@dataclass(frozen=True)
class Call:
    function: Callable[..., Any]
    parameters: int
    returns: Returns


CALLS: dict[str, Call] = {}


def call(name: str, parameters: int = 0, returns: Returns = Returns.VALUE) -> Callable[[Any], Any]:
    """Registers a call that takes at least so many parameters after its metadata."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        CALLS[name] = Call(function, parameters, returns)
        return function

    return register


def answer(session: Session, method: str, parameters: Sequence[Any]) -> Any:
    """The result of a call as it goes over the wire; KeyError where there is none of that name."""
    known = CALLS[method]
    try:
        # The first parameter says whether the client waits for the answer.
        given = fields(parameters, known.parameters + 1, f"parameters of {method}")[1 : known.parameters + 1]
        value = known.function(session, *given)
    except (Refused, Malformed, InputError) as error:
        return layouts.failed(str(error)) if known.returns == Returns.NOTHING else layouts.refusal(str(error))
    if known.returns == Returns.NOTHING:
        return layouts.DONE
    return value if known.returns == Returns.BARE else layouts.answer(value)
