"""`drivewm carla-server`: a stand-in that speaks CARLA 0.9.16's wire protocol, without Unreal or a GPU."""

from __future__ import annotations

import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from drivewm.errors import InputError

log = logging.getLogger("drivewm.carla_server")


@dataclass(frozen=True, kw_only=True)
class CarlaServer:
    """Serves the embedded towns to any CARLA 0.9.16 client, until it is interrupted."""

    port: int = 2000
    """RPC port; sensor streams take the next one. 0: any two free ports, told in the ready line."""
    host: str = "127.0.0.1"
    """Address to listen on. The protocol has no passwords: other machines may do all that you can."""
    map: Annotated[str, tyro.conf.arg(metavar="TOWN|FILE.xodr")] = "grid"
    """The town to begin with: a shipped one, one of --maps, or an OpenDRIVE file."""
    maps: Path | None = None
    """A folder of OpenDRIVE files (.xodr, .xodr.gz) that clients may load by name, such as CARLA's towns."""

    def run(self) -> int:
        from drivewm_sim.carla_server.maps import Maps
        from drivewm_sim.carla_server.server import Ports, Server
        from drivewm_sim.carla_server.streams import Streams
        from drivewm_sim.carla_server.world import World

        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        if not 0 <= self.port < 65535:
            raise InputError(f"--port {self.port}: expected 0 to 65534; sensor streams take the next one")
        if self.maps is not None and not self.maps.is_dir():
            raise InputError(f"--maps {self.maps}: expected a folder of .xodr files; check the path")
        ports = Ports(self.host, self.port)  # before the seconds that the rest takes
        maps, town = Maps(self.maps), self.map
        if town.endswith((".xodr", ".xodr.gz")):
            town = maps.add_file(Path(town))
        world = World(maps, town, Streams())
        log.info("warming up on port %d; some seconds, a minute or two the first time", ports.port)
        world.warm_up()
        server = Server(world, ports)
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: server.stop())
        print(
            f"ready: CARLA 0.9.16 stand-in on {self.host}:{server.port}, streams on {server.stream_port}, "
            f"map {world.map.path}",
            flush=True,
        )
        server.serve()
        return 0
