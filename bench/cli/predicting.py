"""`bench predict`: the verbs about devices that nobody here has. Nothing that they say is a measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json, near
from bench.cli.output import say
from bench.spec.devices.device_names import PREDICTED, is_predicted
from bench.spec.errors import UserError, nearest

app = typer.Typer(
    help="What devices that aren't here would do, by a model whose error is known. Never a measurement.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _top(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command(short_help="Map where separable would start to pay on a device")
def crossover(
    device: Annotated[
        str,
        typer.Option(
            metavar="sim:NAME", help="sim:a100, sim:FILE.yaml#NAME, or sim:RESULTS_FOLDER#cpu: the CPU of a run."
        ),
    ] = "",
    mode: Annotated[
        str,
        typer.Option(metavar="LIST", help="eager, graph, compile, with commas; default: eager, of a GPU graph too."),
    ] = "",
    channels: Annotated[str, typer.Option(metavar="LIST", help="Channels in and out, with commas.")] = "",
    batch: Annotated[str, typer.Option(metavar="LIST", help="Images of a call, with commas.")] = "",
    kernel: Annotated[int, typer.Option(metavar="N", help="Height and width of the filter.")] = 3,
    size: Annotated[int, typer.Option(metavar="N", help="Pixels in height and width.")] = 28,
    dtype: Annotated[str, typer.Option(help="fp32, fp32-tf32, bf16, fp16 or fp64.")] = "fp32",
    layout: Annotated[str, typer.Option(help="contiguous or channels_last.")] = "contiguous",
    host_us: Annotated[
        float | None,
        typer.Option(metavar="US", help="What your host takes for an operator beside a GPU: its dispatch and launch."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For the picture; default: results/predicted.")
    ] = None,
    json_: Json = False,
) -> None:
    """Map where separable would start to pay on a device, over batch and channels, as a table and a picture."""
    from bench.analyse.predict import crossover_map
    from bench.spec.blocks.costs import ITEM_BYTES
    from bench.spec.devices.predicted_devices import named

    if "," in device:
        raise UserError("--device", "a map is of one device", f"Write one, as {device.partition(',')[0]}", device)
    if not is_predicted(device):
        rule = "it is no predicted device" if device else "it is missing"
        meant = near(device) or ""
        example = meant if is_predicted(meant) else f"{PREDICTED}a100"
        raise UserError("--device", rule, f"Write {example}, or measure by bench run", device or None)
    if layout not in ("contiguous", "channels_last"):
        raise UserError("--layout", "no such layout", "Write contiguous or channels_last", layout)
    asked = named(device)
    if dtype not in ITEM_BYTES:
        raise UserError("--dtype", "no such dtype", nearest(dtype, ITEM_BYTES, "Known dtypes"), dtype)
    found = crossover_map.mapped(
        asked if host_us is None else crossover_map.on_host(asked, host_us),
        [word.strip() for word in mode.split(",")] if mode else [],
        _numbers("--channels", channels) or crossover_map.CHANNELS,
        _numbers("--batch", batch) or crossover_map.BATCHES,
        kernel, size, dtype, layout,
    )  # fmt: skip
    if json_:
        say(json.dumps(found.to_dict(), indent=2))
        return
    from bench.show.plots import crossover_map as picture
    from bench.show.text import crossover_map as words

    words.show(found)
    say(f"picture: {picture.draw(found, out or Path('results') / 'predicted')[0]}")


def _numbers(option: str, text: str) -> list[int]:
    """`1,4,16` as numbers; none of an empty text. UserError for anything else."""
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise UserError(option, "these are no whole numbers", "Write them with commas, as 8,16,32", text) from None
