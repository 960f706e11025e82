"""The card of a bundle, in Markdown: what it learned from, how well, and what it cannot do."""

from __future__ import annotations

from drivewm.checkpoint import Bundle


def model_card(bundle: Bundle) -> str:
    """The card from what the bundle itself states; nothing in it is written by hand."""
    p, c = bundle.provenance, bundle.model.config
    data, calibration = p["data"], bundle.calibration
    rows = "\n".join(f"| {name} | {value} |" for name, value in p["validation"].items() if name != "choice")
    lines = [
        f"# {bundle.name}",
        "",
        f"A multi-agent latent world model made by drivewm {p['drivewm']}: {p['parameters']:,} parameters,",
        f"{c.joint_modes} joint modes, {c.candidates} marginal candidates, {c.grid.steps} steps of",
        f"{c.grid.step:g} s, map {'used' if c.use_map else 'not used'}.",
        "",
        f"- Data: {', '.join(data['datasets'])}; {data['training_scenes']} training and",
        f"  {data['validation_scenes']} validation scenes, {data['hours']:g} h, {data['agents']:,} agents,",
        f"  {data['windows']:,} windows.",
        f"- Licence of the data: {data['licence']}.",
        f"- SHA-256 of the training scenes: `{data['training_sha256']}`",
        f"- SHA-256 of the validation scenes: `{data['validation_sha256']}`",
        f"- Seed {p['seed']}, {p['steps']} steps, checkpoint of step {p['best_step']} chosen on validation,",
        f"  {p['cpu_minutes']:g} CPU minutes, effective rank of the latents {p['effective_rank']:g}.",
        f"- Calibration on validation: spread x {calibration.joint_spread:g} (joint),",
        f"  x {calibration.marginal_spread:g} (marginal); temperature",
        f"  {calibration.joint_temperature:g} (joint), {calibration.marginal_temperature:g} (marginal).",
        "",
        "| validation figure | value |",
        "|---|---|",
        rows,
        "",
        "Limits: it forecasts what it has seen in its data and nothing else; it does not know the ego's plan",
        "and reads no sensor features; its probabilities hold for the distribution it was calibrated on.",
        "",
    ]
    return "\n".join(lines)
