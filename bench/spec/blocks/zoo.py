"""The layers of each block at a shape, and of each network (MobileNet V1 and V2, Xception, ResNet, VGG) from a table of blocks.

Each convolution has batch norm and ReLU, as in MobileNet's paper (Howard et al. 2017, arXiv:1704.04861); build() drops
those that a config switches off. A network takes an image and gives class scores. Its twin is the same table with another
`block`: standard for separable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from bench.spec.blocks.layers import Act, Items, Layer, Residual, Shape, changed, residual
from bench.spec.errors import UserError

Row = tuple[Layer, ...]
Builder = Callable[[Shape], Row]

# channels out, stride; the paper's table 1 prints stride 2 for the last depthwise layer, but also that 7 x 7 stays 7 x 7
MOBILENET_V1 = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
# expansion, channels out, copies, stride of the first (Sandler et al. 2018, arXiv:1801.04381, table 2)
MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
# channels of each separable convolution, whether the map is halved (Chollet 2017, arXiv:1610.02357, figure 5)
XCEPTION = (((128, 128), True), ((256, 256), True), ((728, 728), True), *(((728, 728, 728), False),) * 8, ((728, 1024), True))  # fmt: skip
# channels within, copies, stride of the first (He et al. 2016, arXiv:1512.03385, table 1)
RESNET_18 = ((64, 2, 1), (128, 2, 2), (256, 2, 2), (512, 2, 2))
RESNET_50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
# channels of each convolution between two poolings (Simonyan & Zisserman 2015, arXiv:1409.1556, configuration D)
VGG_16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

conv = partial(Layer, norm=True, act="relu")
"""A convolution with batch norm and, unless `act` is empty, an activation."""


def standard(s: Shape) -> Row:
    """k x k over all channels."""
    return (conv("standard", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation),)


def depthwise(s: Shape) -> Row:
    """k x k over each channel by itself: as many groups as channels."""
    return (conv("depthwise", s.c_in, s.c_in, s.kernel, s.stride, s.padding, s.dilation, s.c_in),)


def pointwise(s: Shape) -> Row:
    """1 x 1 over all channels."""
    return (conv("pointwise", s.c_in, s.c_out, 1, s.stride, s.padding),)


def separable(s: Shape) -> Row:
    """Depthwise, which has the stride, then pointwise."""
    return (*depthwise(s), conv("pointwise", s.c_in, s.c_out, 1, 1, s.padding))


def mobilenet_block(s: Shape) -> Row:
    """The block that one source prints with a fixed stride of 2, here with the shape's stride: separable with k = 3."""
    return separable(replace(s, kernel=3))


def grouped(s: Shape, groups: int) -> Row:
    """k x k over the channels of each group by itself: params and MACs of the standard one / groups.

    UserError where the groups do not divide the channels.
    """
    for what, channels in (("in", s.c_in), ("out", s.c_out)):
        if channels % groups:
            rule = f"{channels} channels {what} can't be divided into {groups} groups"
            raise UserError("grouped", rule, "Use channels that the number of groups divides.")
    return (conv("grouped", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation, groups),)


def spatially_separable(s: Shape) -> Row:
    """k x 1, which changes the channels and has the vertical stride, then 1 x k, which has the horizontal one."""
    k = s.kernel
    return (
        conv("column", s.c_in, s.c_out, k, s.stride, s.padding, s.dilation, kernel_width=1, stride_width=1),
        conv("row", s.c_out, s.c_out, 1, 1, s.padding, s.dilation, kernel_width=k, stride_width=s.stride),
    )


def dilated(s: Shape, rate: int) -> Row:
    """k x k with its taps `rate` times as far apart: a wider reach at the cost of the standard one."""
    return (conv("dilated", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation * rate),)


def transposed(s: Shape) -> Row:
    """k x k that spreads every *input* pixel: with padding same the map grows by the stride."""
    return (conv("transposed", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation, op="transposed"),)


def global_depthwise(s: Shape) -> Row:
    """Depthwise with a kernel as large as the map: a weighted mean of each channel."""
    return (conv("global_depthwise", s.c_in, s.c_in, s.height, 1, "valid", 1, s.c_in, kernel_width=s.width),)


def global_average_pool(s: Shape) -> Row:
    """The mean of each channel."""
    return (Layer("global_average_pool", s.c_in, s.c_in, op="global_pool"),)


def inverted_bottleneck(s: Shape, expansion: int) -> Items:
    """Pointwise to `expansion` times the channels, depthwise, pointwise (Sandler et al. 2018, arXiv:1801.04381).

    The last one has no activation. The input is added where the output has its shape. There is no expansion by 1.
    """
    wide = s.c_in * expansion
    body = (
        conv("depthwise", wide, wide, s.kernel, s.stride, s.padding, s.dilation, wide, act="relu6"),
        conv("project", wide, s.c_out, 1, padding=s.padding, act=""),
    )
    if expansion > 1:
        body = (conv("expand", s.c_in, wide, 1, padding=s.padding, act="relu6"), *body)  # type: ignore[assignment]
    keeps_size = s.stride == 1 and (s.padding == "same" or s.kernel == 1)
    return (residual(body),) if keeps_size and s.c_in == s.c_out else body


def mobilenet_v1(block: Builder, s: Shape, width: float) -> Items:
    """MobileNet (Howard et al. 2017, arXiv:1704.04861, table 1); all channels times `width`, the width multiplier."""
    c = _channels(32, width)
    items: list[Layer | Residual] = [conv("stem", s.c_in, c, 3, 2)]
    for i, (wide, stride) in enumerate(MOBILENET_V1, 1):
        n = _channels(wide, width)
        items += _named(f"block_{i}", block(_shape(c, n, stride)))
        c = n
    return (*items, *_classifier(c, s.c_out))


def mobilenet_v2(s: Shape, width: float) -> Items:
    """MobileNetV2; channels times `width`, in multiples of eight, the last ones at least 1280."""
    c = _eights(32 * width)
    items: list[Layer | Residual] = [conv("stem", s.c_in, c, 3, 2, act="relu6")]
    blocks = [(t, wide, stride if i == 0 else 1) for t, wide, copies, stride in MOBILENET_V2 for i in range(copies)]
    for i, (expansion, wide, stride) in enumerate(blocks, 1):
        n = _eights(wide * width)
        items += _named(f"block_{i}", inverted_bottleneck(_shape(c, n, stride), expansion))
        c = n
    last = _eights(1280 * max(1.0, width))
    return (*items, conv("last", c, last, 1, act="relu6"), *_classifier(last, s.c_out))


def xception(block: Builder, s: Shape) -> Items:
    """Xception. As in the published model, ReLU comes before a separable convolution and batch norm only after it."""
    items: list[Layer | Residual] = [conv("stem_1", s.c_in, 32, 3, 2, "valid"), conv("stem_2", 32, 64, 3, 1, "valid")]
    c = 64
    for i, (channels, halved) in enumerate(XCEPTION, 1):
        body: list[Layer] = []
        inside = c
        for j, n in enumerate(channels, 1):
            body += [Layer(f"relu_{j}", inside, inside, op="relu")] if (i, j) != (1, 1) else []  # the stem ends in one
            body += [replace(x, name=f"{x.name}_{j}") for x in _norm_at_end(block(_shape(inside, n)))]
            inside = n
        shortcut: Row = ()
        if halved:
            body.append(Layer("pool", inside, inside, 3, 2, op="max_pool"))
            shortcut = (conv("shortcut", c, inside, 1, 2, act=""),)
        items += _named(f"block_{i}", (residual(tuple(body), shortcut),))
        c = inside
    for i, n in enumerate((1536, 2048), 13):
        items += _named(f"block_{i}", _norm_at_end(block(_shape(c, n)), "relu"))
        c = n
    return (*items, *_classifier(c, s.c_out))


def resnet18(s: Shape) -> Items:
    """ResNet-18: two 3 x 3 convolutions beside a shortcut."""

    def body(c: int, n: int, stride: int) -> Row:
        return conv("1", c, n, 3, stride), conv("2", n, n, 3, act="")

    return _resnet(s, RESNET_18, body, 1)


def resnet50(s: Shape) -> Items:
    """ResNet-50: 1 x 1, 3 x 3 and 1 x 1 to four times the channels.

    The 3 x 3 has the stride, as in published weights (4.1 G MACs); in the paper's table the first 1 x 1 has it (3.8 G).
    """

    def body(c: int, n: int, stride: int) -> Row:
        return conv("1", c, n, 1), conv("2", n, n, 3, stride), conv("3", n, 4 * n, 1, act="")

    return _resnet(s, RESNET_50, body, 4)


def vgg16(s: Shape) -> Items:
    """VGG-16: 3 x 3 convolutions with a bias and no batch norm. Its first linear layer grows with the image."""
    items: list[Layer | Residual] = []
    c = s.c_in
    for i, stage in enumerate(VGG_16, 1):
        for j, n in enumerate(stage, 1):
            items.append(Layer(f"stage_{i}.conv_{j}", c, n, 3, bias=True, act="relu"))
            c = n
        items.append(Layer(f"stage_{i}.pool", c, c, 2, 2, "valid", op="max_pool"))
    pixels = (s.height // 32) * (s.width // 32)
    heads = ((c * pixels, 4096, "relu"), (4096, 4096, "relu"), (4096, s.c_out, ""))
    return (*items, *(_linear(f"linear_{i}", *head) for i, head in enumerate(heads, 1)))  # type: ignore[arg-type]


def _resnet(s: Shape, table: Iterable[tuple[int, int, int]], body: Callable[[int, int, int], Row], wider: int) -> Items:
    items: list[Layer | Residual] = [conv("stem", s.c_in, 64, 7, 2), Layer("pool", 64, 64, 3, 2, op="max_pool")]
    c = 64
    for i, (wide, copies, first) in enumerate(table, 1):
        for j in range(1, copies + 1):
            stride, n = first if j == 1 else 1, wide * wider
            shortcut = () if (stride, c) == (1, n) else (conv("shortcut", c, n, 1, stride, act=""),)
            items += _named(f"stage_{i}_{j}", (residual(body(c, wide, stride), shortcut, "relu"),))
            c = n
    return (*items, *_classifier(c, s.c_out))


def _classifier(c: int, classes: int) -> Row:
    return Layer("pool", c, c, op="global_pool"), _linear("linear", c, classes)


def _linear(name: str, c_in: int, c_out: int, act: Act = "") -> Layer:
    return Layer(name, c_in, c_out, bias=True, act=act, op="linear")


def _shape(c_in: int, c_out: int, stride: int = 1) -> Shape:
    """The shape of a network's block: builders with a 3 x 3 kernel and padding same need no height and width."""
    return Shape(c_in, c_out, 1, 1, 3, stride)


def _norm_at_end(row: Row, act: Act = "") -> Row:
    """The row with one batch norm, after its last layer."""
    return (*(replace(layer, norm=False, act="") for layer in row[:-1]), replace(row[-1], act=act))


def _named(prefix: str, items: Items) -> Items:
    """The items with their part of the network in each name: `block_3.depthwise`."""
    return changed(items, lambda layer: replace(layer, name=f"{prefix}.{layer.name}"))


def _channels(channels: int, width: float) -> int:
    return max(1, int(channels * width))


def _eights(channels: float) -> int:
    """The nearest multiple of eight that is at least 0.9 times `channels` (the authors' rounding)."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8
