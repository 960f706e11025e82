"""drivewm export: a bundle's static graph for a runtime."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivewm.cli.figures import check_file, check_folder, terminal, write_json
from drivewm.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Export:
    weights: str
    """A shipped bundle by name, or a bundle folder."""
    out: Path
    """Folder that becomes a complete bundle with the graphs; may be the bundle's own."""
    format: Literal["onnx", "openvino", "tensorrt"] = "onnx"
    """The runtime's format; this version writes onnx."""
    agents: tuple[int, ...] = (32, 64)
    """Agent slots, one graph for each; larger graphs only while the bundle stays under 16 MB."""
    json: Path | None = None
    """Write the figures to this file."""

    def run(self) -> int:
        from rich.table import Table

        if self.format != "onnx":
            raise InputError(f"--format {self.format}: this version writes ONNX; {_FROM_ONNX[self.format]}")

        from drivewm.bundle import find_bundle, read_config
        from drivewm.checkpoint import load_bundle
        from drivewm.export import export_onnx

        source = find_bundle(self.weights)
        check_folder("--out", self.out)
        check_file("--json", self.json)
        own = self.out.is_dir() and self.out.samefile(source)
        taken = not own and (self.out / "config.json").is_file()
        if taken and read_config(self.out)["hash"] != read_config(source)["hash"]:
            raise InputError(f"--out {self.out}: holds another bundle; give an empty folder")
        bundle = load_bundle(source)
        console = terminal()
        with console.status("exporting"):
            exported = export_onnx(bundle, self.out, self.agents)
        if not own:
            _copy_bundle(source, self.out)
        table = Table("file", "agents", "MB")
        counts = [*map(str, exported.agents), ""]
        for path, count in zip(exported.files, counts, strict=True):
            table.add_row(path.name, count, f"{path.stat().st_size / 1e6:.2f}")
        console.print(table)
        for slots in exported.left_out:
            console.print(f"no graph for {slots} agents: the bundle would be larger than 16 MB")
        console.print(
            f"bundle {bundle.name}, {exported.bundle_bytes / 1e6:.2f} MB; ONNX Runtime agrees with torch to "
            f"{exported.position_error_m:.1e} m -> {self.out}"
        )
        if self.json:
            figures = {
                "bundle": bundle.name,
                "hash": bundle.hash,
                "agents": list(exported.agents),
                "left_out": list(exported.left_out),
                "bundle_bytes": exported.bundle_bytes,
                "position_error_m": exported.position_error_m,
                "other_error": exported.other_error,
            }
            write_json(self.json, figures)
        return 0


_FROM_ONNX = {
    "tensorrt": "TensorRT builds its engine from that file with trtexec --onnx=model_32.onnx",
    "openvino": "OpenVINO reads that file as it is",
}


def _copy_bundle(source: Path, out: Path) -> None:
    """Weights, card, and last the configuration: the folder is a bundle only when it is whole."""
    for name in ("weights.safetensors", "card.md", "config.json"):
        if (source / name).is_file():
            part = out / f".{name}.part"
            shutil.copyfile(source / name, part)
            part.replace(out / name)
