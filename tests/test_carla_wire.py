"""The stand-in's wire, without a CARLA client: bad messages close their connection and nothing more."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from carla_fuzz import fuzz
from carla_stand_in import StandIn, stand_in
from hypothesis import given
from hypothesis import strategies as st
from refusals import Capture, assert_refused

from drivewm.cli import main
from drivewm_sim.carla_client.keeper import lease
from drivewm_sim.carla_frames import (
    centre_from_origin,
    mirrored,
    origin_from_centre,
    pose_from_carla,
    pose_to_carla,
    rate_from_carla,
    rate_to_carla,
)
from drivewm_sim.carla_server import connections


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with stand_in(tmp_path_factory.mktemp("server"), "crossing") as running:
        yield running
        assert running.lives()


def ask(port: int, method: str, *arguments: object) -> Any:
    """Error and result of one call."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(msgpack.packb((0, 7, method, ((False,), *arguments))))
        unpacker = msgpack.Unpacker()
        while True:
            unpacker.feed(sock.recv(1 << 16))
            for kind, number, error, result in unpacker:
                assert (kind, number) == (1, 7)
                return error, result


def test_an_unknown_call_gets_a_clear_error_and_one_line_in_the_log(server: StandIn) -> None:
    for _ in range(3):
        error, _ = ask(server.port, "start_recorder", "file")
        assert "no call 'start_recorder'" in error
    assert server.log.read_text().count("start_recorder") == 1


def test_wrong_arguments_get_an_error_with_what_was_expected(server: StandIn) -> None:
    assert "expected" in str(ask(server.port, "get_actor_bounding_box", "x"))
    assert "actor not found" in str(ask(server.port, "get_actor_bounding_box", 4711))
    assert "expected" in str(ask(server.port, "set_actor_transform", 1, ((float("nan"), 0, 0), (0, 0, 0))))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xc1" * 10,
        msgpack.packb([1, 2, 3]),
        b"\xdd\xff\xff\xff\xff",  # an array of four thousand million
        b"\x91" * 5000,  # too deep
    ],
)
def test_what_is_no_request_closes_its_connection_only(server: StandIn, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as good:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as bad:
            bad.sendall(data)
            with suppress(ConnectionResetError):
                assert bad.recv(10) == b""
        good.sendall(msgpack.packb((0, 1, "version", ((False,),))))
        assert msgpack.unpackb(good.recv(100)) == [1, 1, None, [[1, "0.9.16"]]]


def test_a_client_that_is_gone_takes_its_traffic_manager_along(server: StandIn) -> None:
    """Else the next one on that port would wait for a process that has died."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(msgpack.packb((0, 1, "add_traffic_manager_running", ((False,), ("127.0.0.1", 8000)))))
        assert msgpack.unpackb(sock.recv(100))[3] == [[1, True]]
        assert ask(server.port, "is_traffic_manager_running", 8000)[1] == [[1, True]]
    assert ask(server.port, "is_traffic_manager_running", 8000)[1] == [[1, False]]


def test_a_spawn_whose_follow_up_fails_still_gives_its_actor(server: StandIn) -> None:
    """Told of an error, a client would never destroy it."""
    transform = ((-50.0, 1.6, 0.0), (0.0, 0.0, 0.0))
    walk = ((7, (0, transform, 1.0)),)  # ApplyWalkerState, to a car
    car = (0, ((0, "vehicle.tesla.model3", ()), transform, (False,), 0, "", (walk,)))
    error, (((index, actor),),) = ask(server.port, "apply_batch", ((car,),), False)
    assert (error, index) == (None, 1), "an actor's id, no error"
    assert ask(server.port, "destroy_actor", actor)[1] == [[1, True]]


def test_nothing_is_kept_for_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_BACKLOG", 1 << 20)
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as idle,
        listening.accept()[0] as sock,
    ):
        connection = connections.Connection(sock, lambda _: None)
        while not connection.broken:
            connection.send(bytes(1 << 18))
        assert not connection.writing
        with pytest.raises(connections.Closed, match="does not read what it asked for"):
            connection.receive()
        while idle.recv(1 << 20):
            pass  # what was sent before, then the end


def test_a_stream_that_nobody_has_opened_is_closed(server: StandIn) -> None:
    with socket.create_connection(("127.0.0.1", server.stream_port), timeout=10) as sock:
        sock.sendall((123456).to_bytes(4, "little"))
        assert sock.recv(10) == b""


def test_who_listens_hears_of_a_new_episode_in_its_first_tick(server: StandIn) -> None:
    """Not before: a client of 0.9.16 that has such news in hand while it loads the episode crashes."""
    info = ask(server.port, "get_episode_info")[1][0][1]
    ticked_by_us = (True, False, (True, 0.05), True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True)
    ask(server.port, "set_episode_settings", ticked_by_us)
    with socket.create_connection(("127.0.0.1", server.stream_port), timeout=0.3) as sock:
        sock.sendall(info[1][0][:4])
        assert episode_of(sock) == info[0]
        assert ask(server.port, "load_new_episode", "crossing", False, 0)[1] == [[False]]
        with pytest.raises(TimeoutError):
            sock.recv(1)
        ask(server.port, "tick_cue")
        assert episode_of(sock) == ask(server.port, "get_episode_info")[1][0][1][0] != info[0]


def episode_of(sock: socket.socket) -> int:
    """Of the next snapshot on a stream: after its length and a header of 48 bytes."""
    size = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "little")
    return int.from_bytes(sock.recv(size, socket.MSG_WAITALL)[48:56], "little")


def test_only_this_machine_is_let_in() -> None:
    from drivewm.cli.carla_server import CarlaServer

    assert CarlaServer().host == "127.0.0.1"


@pytest.mark.parametrize("which", [0, 1])
def test_a_port_in_use_is_refused_before_anything_is_compiled(
    which: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RPC's own or the next one, for streams."""
    monkeypatch.setattr("drivewm_sim.carla_server.world.World.__init__", pytest.fail)
    port, holder = lease(26000)
    with closing(holder), socket.create_server(("127.0.0.1", port + which)):
        code = main(["carla-server", "--port", str(port)])
    assert_refused(code, capsys, f"127.0.0.1:{port + which}: cannot listen there (Address already in use)")


def test_no_message_ends_the_server(server: StandIn) -> None:
    """2,000 here; `python tests/carla_fuzz.py PORT 100000` throws more at a running server."""
    fuzz(server.port, 2000)
    assert server.lives()


numbers = st.floats(-1e4, 1e4)


@given(x=numbers, y=numbers, z=numbers, yaw=st.floats(-3.1, 3.1), bx=numbers, by=numbers)
def test_frames_there_and_back(x: float, y: float, z: float, yaw: float, bx: float, by: float) -> None:
    pose = np.array([x, y, yaw])
    transform = pose_to_carla(pose, z)
    assert transform[1] == -y
    back, height = pose_from_carla(transform)
    np.testing.assert_allclose(back, pose, atol=1e-9)
    assert height == z
    offset = np.array([bx, by, 1.0])
    np.testing.assert_allclose(
        origin_from_centre(centre_from_origin(transform, offset), offset), transform, atol=1e-6
    )
    np.testing.assert_array_equal(mirrored(mirrored(transform[:3])), transform[:3])
    assert rate_from_carla(rate_to_carla(yaw)) == pytest.approx(yaw)


def test_left_is_right_and_a_quarter_turn_keeps_its_size() -> None:
    """A car that faces south in CARLA (yaw 90) faces south here (-pi/2); its right is west in both."""
    pose, _ = pose_from_carla(np.array([1.0, 2.0, 0.0, 0.0, 90.0, 0.0]))
    np.testing.assert_allclose(pose, [1.0, -2.0, -np.pi / 2])
    centre = centre_from_origin(np.array([0.0, 0.0, 0.0, 0.0, 90.0, 0.0]), np.array([0.0, 1.0, 0.5]))
    np.testing.assert_allclose(centre[:3], [-1.0, 0.0, 0.5], atol=1e-12)
