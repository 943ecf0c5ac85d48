"""`bench predict`: predictions for devices that you don't have; nothing here is a measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.options import Json, likely_device, one_of, option
from bench.cli.output import say, say_json
from bench.spec.devices.device_names import PREDICTED_PREFIX, is_predicted
from bench.spec.errors import UserError, nearest

app = typer.Typer(
    help="Predict a device that you don't have, by a model with known errors. Never a measurement.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _top(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        say(context.get_help())


@app.command(short_help="Map where separable would be faster on a device")
def crossover(
    device: Annotated[
        str, option("sim:NAME", "sim:a100, sim:FILE.yaml#NAME, or sim:RESULTS_FOLDER#cpu: the CPU of a run.")
    ] = "",
    mode: Annotated[
        str, option("LIST", "eager, graph, compile, with commas; default: eager, for a GPU also graph.")
    ] = "",
    channels: Annotated[str, option("LIST", "Channels in and out, with commas.")] = "",
    batch: Annotated[str, option("LIST", "Images in a call, with commas.")] = "",
    kernel: Annotated[int, option("N", "Height and width of the filter.")] = 3,
    size: Annotated[int, option("N", "Pixels in height and width.")] = 28,
    dtype: Annotated[str, typer.Option(help="fp32, fp32-tf32, bf16, fp16 or fp64.")] = "fp32",
    layout: Annotated[str, typer.Option(help="contiguous or channels_last.")] = "contiguous",
    host_us: Annotated[
        float | None, option("US", "Your host's time of one operator (dispatch and launch) with a GPU, in us.")
    ] = None,
    out: Annotated[Path | None, option("DIR", "The picture's folder; default: results/predicted.")] = None,
    json_: Json = False,
) -> None:
    """Map where separable would be faster on a device, over batch and channels, as a table and a picture."""
    from bench.analyse.predict import crossover_map
    from bench.spec.blocks.costs import ITEM_BYTES
    from bench.spec.devices.predicted_devices import find_device

    if "," in device:
        raise UserError("--device", "a map is of one device", f"Write one, as {device.partition(',')[0]}", device)
    if not is_predicted(device):
        rule = "it is not a predicted device" if device else "it is missing"
        likely = likely_device(device) or ""
        example = likely if is_predicted(likely) else f"{PREDICTED_PREFIX}a100"
        raise UserError("--device", rule, f"Write {example}, or measure with bench run", device or None)
    one_of("--layout", layout, ("contiguous", "channels_last"))
    model = find_device(device)
    if dtype not in ITEM_BYTES:
        raise UserError("--dtype", "no such dtype", nearest(dtype, ITEM_BYTES, "Known dtypes"), dtype)
    crossings = crossover_map.mapped(
        model if host_us is None else crossover_map.on_host(model, host_us),
        [word.strip() for word in mode.split(",")] if mode else [],
        _numbers("--channels", channels) or crossover_map.CHANNELS,
        _numbers("--batch", batch) or crossover_map.BATCHES,
        kernel, size, dtype, layout,
    )  # fmt: skip
    if json_:
        say_json(crossings.to_dict())
        return
    from bench.show.plots import speedup_map
    from bench.show.text import crossover_map as words

    words.show(crossings)
    say(f"picture: {speedup_map.draw_predicted(crossings, out or Path('results') / 'predicted')[0]}")


def _numbers(option: str, text: str) -> list[int]:
    """`1,4,16` as numbers; an empty text as none. UserError for anything else."""
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise UserError(option, "these are not whole numbers", "Write them with commas, as 8,16,32", text) from None
