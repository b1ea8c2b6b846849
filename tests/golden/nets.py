"""PyTorch twins of the engine's networks, under the same parameter names. `w` is the width: 48 in the reports and the paper."""
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


def conv(c_in, c_out, k=3, stride=1):
    return nn.Conv2d(c_in, c_out, k, stride, padding=k // 2)


def up(c):
    return nn.ConvTranspose2d(c, c, 3, stride=2, padding=1, output_padding=1)


def lrelu():
    return nn.LeakyReLU(0.1)


def tail(w):
    """Three convolutions at full size, after the concatenation with the input picture."""
    a, b = w * 4 // 3, w * 2 // 3
    return nn.Sequential(conv(2 * w + 3, a), lrelu(), conv(a, b), lrelu(), conv(b, 3))


def uses(shared, count, block):
    """A block for each of `count` uses, and what holds them: one block for all, or a list of their own."""
    if shared:
        block = block()
        return block, [block] * count
    blocks = nn.ModuleList(block() for _ in range(count))
    return blocks, list(blocks)


class EpflUNet(nn.Module):
    """First report's U-Net."""

    def __init__(self, w, shared):
        super().__init__()
        down = lambda c_in: nn.Sequential(conv(c_in, w), lrelu(), conv(w, w), lrelu(), conv(w, w, stride=2))
        doubling = lambda c_in, c: nn.Sequential(conv(c_in, c), lrelu(), conv(c, c), lrelu(), up(c))
        self._block1 = down(3)
        self._block2, downs = uses(shared, 4, lambda: down(w))
        self._block3 = doubling(w, w)
        self._block4 = doubling(2 * w, 2 * w)
        self._block5, ups = uses(shared, 3, lambda: doubling(3 * w, 2 * w))
        self._block6 = tail(w)
        self.steps = lambda: ([self._block1, *downs], [self._block3, self._block4, *ups], self._block6)

    def forward(self, x):
        downs, ups, output = self.steps()
        return u_turn(x, x, downs, ups, output)


def u_turn(x, y, downs, ups, output):
    """Down, keeping what each step gives; up, each step but the first beside what the last one left; and out beside x."""
    skips = []
    for down in downs:
        y = down(y)
        skips.append(y)
    y = ups[0](skips.pop())
    for step in ups[1:]:
        y = step(torch.cat((y, skips.pop()), 1))
    return output(torch.cat((y, x), 1))


class ResBlock(nn.Module):
    def __init__(self, c_in, c):
        super().__init__()
        self.conv1, self.bn1 = conv(c_in, c), nn.GroupNorm(3, c)
        self.conv2, self.bn2 = conv(c, c), nn.GroupNorm(3, c)
        self.shortcut = conv(c_in, c, 1) if c_in != c else nn.Identity()

    def forward(self, x):
        y = F.leaky_relu(self.bn1(self.conv1(x)), 0.01)
        return F.leaky_relu(self.bn2(self.conv2(y)) + self.shortcut(x), 0.01)


class EpflResUNet(nn.Module):
    """First report's Residual U-Net: as its code has it (down="maxpool"), or as its text has it (down="conv")."""

    def __init__(self, w, shared, down, residual):
        super().__init__()
        text, self.residual = down == "conv", residual
        smaller = lambda: conv(w, w, stride=2) if text else nn.MaxPool2d(2)
        narrower = lambda: [ResBlock(3 * w, 2 * w)] if text else [conv(3 * w, 2 * w, 1), lrelu(), ResBlock(2 * w, 2 * w)]
        self.in_ = conv(3, w, 1)
        self._block1, downs = uses(shared, 5, lambda: nn.Sequential(ResBlock(w, w), smaller()))
        self._block2 = nn.Sequential(ResBlock(w, w), up(w))
        self._block3 = nn.Sequential(ResBlock(2 * w, 2 * w), up(2 * w))
        self._block4, ups = uses(shared, 3, lambda: nn.Sequential(*narrower(), up(2 * w)))
        self._block5 = tail(w)
        self.steps = lambda: (downs, [self._block2, self._block3, *ups], self._block5)

    def forward(self, x):
        downs, ups, output = self.steps()
        y = u_turn(x, self.in_(x), downs, ups, output)
        return x - y if self.residual else y


class EpflConvNet(nn.Sequential):
    """Second report's network; its factor of 255 belongs to the range of the data."""

    def __init__(self):
        halve = lambda c_in, c: nn.Conv2d(c_in, c, 2, stride=2)
        double = lambda: nn.Upsample(scale_factor=2, mode="nearest")
        super().__init__(halve(3, 6), nn.ReLU(), halve(6, 12), nn.ReLU(),
                         double(), conv(12, 6, 1), nn.ReLU(), double(), conv(6, 3, 1), nn.Sigmoid())


class N2nUNet(nn.Module):
    """The Noise2Noise paper's U-Net."""

    def __init__(self, w, channels=3):
        super().__init__()
        a, b = w * 4 // 3, w * 2 // 3
        self.enc = nn.ModuleList([conv(channels, w)] + [conv(w, w) for _ in range(6)])
        widths = [(2 * w, 2 * w, 2 * w)] + [(3 * w, 2 * w, 2 * w)] * 3 + [(2 * w + channels, a, b)]
        self.dec = nn.ModuleList(nn.ModuleList([conv(i, m), conv(m, o)]) for i, m, o in widths)
        self.out = conv(b, channels)

    def forward(self, x):
        act = lambda y: F.leaky_relu(y, 0.1)
        skips, y = [x], act(self.enc[0](x))
        for i in range(1, 6):
            y = F.max_pool2d(act(self.enc[i](y)), 2)
            skips.append(y)
        y = act(self.enc[6](skips.pop()))
        for first, second in self.dec:
            y = torch.cat((F.interpolate(y, scale_factor=2, mode="nearest"), skips.pop()), 1)
            y = act(second(act(first(y))))
        return self.out(y)


class UNet(nn.Module):
    """The engine's `unet`."""

    def __init__(self, width, levels, norm, down="conv", up="convt", residual=False, channels=3):
        super().__init__()
        self.residual = residual
        w, wide = width, width if levels == 1 else 2 * width
        self.encoder = nn.ModuleList(block(w if i else channels, w, norm, **smaller(w, down)) for i in range(levels))
        widths = [(w, w), (2 * w, 2 * w)] + [(3 * w, 2 * w)] * levels
        self.decoder = nn.ModuleList(block(c_in, c, norm, **larger(c, up)) for c_in, c in widths[:levels])
        a, b = w * 4 // 3, w * 2 // 3
        self.output = named(conv1=conv(wide + channels, a), act1=lrelu(), conv2=conv(a, b), act2=lrelu(),
                            conv3=conv(b, channels))

    def forward(self, x):
        y = u_turn(x, x, self.encoder, self.decoder, self.output)
        return x - y if self.residual else y


def smaller(c, down):
    return {"down": conv(c, c, stride=2) if down == "conv" else nn.MaxPool2d(2)}


def larger(c, how):
    return {"up": up(c) if how == "convt" else nn.Upsample(scale_factor=2, mode="nearest")}


def block(c_in, c, norm, **resize):
    return named(conv1=conv(c_in, c), norm1=norm_of(norm, c), act1=lrelu(),
                 conv2=conv(c, c), norm2=norm_of(norm, c), act2=lrelu(), **resize)


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def norm_of(norm, c):
    if norm == "batch":
        return nn.BatchNorm2d(c)
    return nn.GroupNorm(c // 8 if c % 8 == 0 else 1, c, eps=1e-5) if norm == "group" else nn.Identity()


def count(net):
    return sum(p.numel() for p in net.parameters())


def assert_full_size():
    """The networks have as many parameters as those they stand for."""
    for net, parameters in [
        (UNet(48, 5, "none"), 1_551_987),
        (EpflUNet(48, True), 783_747),
        (EpflUNet(48, False), 1_551_987),
        (EpflResUNet(48, True, "maxpool", False), 693_843),
        (EpflResUNet(48, False, "maxpool", False), 1_387_731),
        (N2nUNet(48), 991_203),
        (EpflConvNet(), 477),
    ]:
        assert count(net) == parameters, f"{type(net).__name__} has {count(net)} parameters, not {parameters}"
