"""Golden values from PyTorch in float64: the top of the chain of trust PyTorch -> CPU engine -> GPU kernels.

    pip install -r requirements.txt
    python make.py [--seed 1] [--out DIR]          writes DIR/ops.safetensors and DIR/unet.safetensors

Pictures are NCHW, convolution weights OIHW, transposed-convolution weights (in, out, kh, kw), as PyTorch has them.
Each file has one metadata entry, "cases": a JSON list with one object per case ("name" and the case's options).

ops.safetensors    "<case>/<role>"; dy is a random upstream gradient, dx is the gradient with respect to x and so on
    conv2d, conv_transpose2d    x w b dy -> y dx dw db             slope: null, or of the leaky ReLU after the bias
    leaky_relu                  x dy -> y dx
    group_norm                  x gamma beta dy -> y dx dgamma dbeta            slope: as above
    concat, add                 a b [c] dy -> y da db_ [dc]        concat is along channels
    mse                         x t -> y dx                        y is a scalar, its upstream gradient is 1
    adam                        p0 g1 g2 g3 -> p1 p2 p3 [e1 e2 e3]      e: moving average of p, starting at p0
unet.safetensors   the network of `UNet` below and ten training steps with it on one batch
    "<case>/x", "t", "y", "loss"             input, target, output, mean squared error
    "<case>/param/<name>", "grad/<name>"     parameters and the gradient of the loss, by state-dict name
    "<case>/losses", "after/<name>"          ten losses, each taken before its update; parameters after the last one
The steps: Adam, lr 1e-3, betas 0.9 and 0.99, eps 1e-8, the norm of all gradients together clipped to 1.

The same seed gives the same bytes for one version of PyTorch on one machine. Each case has its own random numbers,
drawn from the seed and the case's name, so that a new case leaves the others as they are.
"""
import argparse
import json
import zlib
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

CONV2D = [  # kernel, stride, padding, slope, n, c_in, c_out, h, w
    (1, 1, 0, None, 2, 6, 4, 5, 7),
    (1, 1, 0, 0.1, 1, 13, 10, 1, 5),
    (1, 2, 0, None, 1, 7, 3, 6, 9),
    (2, 1, 0, None, 1, 3, 5, 5, 7),
    (2, 1, 1, 0.1, 1, 5, 6, 1, 5),
    (2, 2, 0, None, 2, 4, 8, 5, 7),
    (2, 2, 1, None, 1, 6, 4, 8, 8),
    (3, 1, 0, None, 1, 7, 3, 13, 4),
    (3, 1, 1, None, 1, 1, 1, 1, 1),
    (3, 1, 1, 0.1, 2, 3, 5, 5, 7),
    (3, 1, 1, 0.1, 1, 9, 48, 3, 5),
    (3, 1, 1, None, 3, 5, 2, 1, 5),
    (3, 1, 1, None, 1, 2, 2, 19, 17),
    (3, 2, 0, 0.1, 1, 6, 4, 6, 9),
    (3, 2, 1, None, 2, 4, 8, 8, 8),
    (3, 2, 1, 0.1, 1, 13, 6, 13, 4),
    (3, 2, 1, None, 2, 7, 3, 1, 1),
]
CONV_TRANSPOSE2D = [  # kernel, stride, padding, output_padding, slope, n, c_in, c_out, h, w
    (3, 2, 1, 1, None, 2, 6, 6, 3, 5),
    (3, 2, 1, 1, 0.1, 1, 8, 9, 4, 4),
    (3, 2, 1, 1, None, 3, 13, 5, 1, 1),
    (3, 2, 1, 0, None, 1, 7, 3, 6, 5),
    (2, 2, 0, 0, None, 2, 4, 6, 3, 5),
    (3, 1, 1, 0, 0.1, 1, 3, 5, 5, 7),
    (1, 1, 0, 0, None, 1, 9, 2, 1, 5),
]
LEAKY_RELU = [(0.1, 2, 5, 5, 7), (0.01, 1, 8, 3, 3)]  # slope, n, c, h, w
GROUP_NORM = [  # groups, slope, offset of x, n, c, h, w
    (3, None, 0, 2, 6, 5, 7),
    (6, None, 0, 2, 6, 4, 5),
    (1, None, 0, 1, 5, 6, 9),
    (3, None, 0, 1, 48, 4, 3),
    (4, 0.1, 0, 1, 8, 8, 8),
    (2, None, 0, 2, 8, 1, 1),
    (4, 0.1, 0, 2, 16, 9, 11),  # 396 elements in a group: more than a workgroup's 256
    (2, None, 100, 2, 6, 7, 5),  # E[x^2] - E[x]^2 would cancel here
]
CONCAT = [(2, (3, 5), 3, 5), (1, (4, 4), 3, 6), (2, (6, 3, 4), 4, 5)]  # n, channels, h, w
ADD = [(2, 5, 3, 5), (1, 4, 1, 3)]  # n, c, h, w
MSE = [(2, 3, 3, 7), (1, 1, 17, 19)]  # n, c, h, w
ADAM = [  # lr, beta1, beta2, eps, clip, ema
    (1e-3, 0.9, 0.999, 1e-8, None, None),
    (1e-2, 0.9, 0.99, 1e-8, 1.0, None),
    (1e-2, 0.8, 0.95, 1e-2, 1.0, 0.9),  # an eps large enough to tell where it is added
]
UNET = [("unet_w8_l2", 8, 2, "none"), ("unet_w6_l3_group", 6, 3, "group"), ("unet_w16_l1", 16, 1, "none")]


class UNet(nn.Module):
    """The engine's `unet`, under the same parameter names."""

    def __init__(self, width, levels, norm):
        super().__init__()
        w, wide = width, width if levels == 1 else 2 * width
        self.encoder = nn.ModuleList(
            block(w if i else 3, w, norm, down=conv(w, w, stride=2)) for i in range(levels))
        channels = [(w, w), (2 * w, 2 * w)] + [(3 * w, 2 * w)] * levels
        self.decoder = nn.ModuleList(block(c_in, c, norm, up=up(c)) for c_in, c in channels[:levels])
        a, b = w * 4 // 3, w * 2 // 3
        self.output = named(conv1=conv(wide + 3, a), act1=nn.LeakyReLU(0.1),
                            conv2=conv(a, b), act2=nn.LeakyReLU(0.1), conv3=conv(b, 3))

    def forward(self, x):
        skips, y = [], x
        for encoder in self.encoder:
            y = encoder(y)
            skips.append(y)
        y = self.decoder[0](skips.pop())
        for decoder in self.decoder[1:]:
            y = decoder(torch.cat((y, skips.pop()), 1))
        return self.output(torch.cat((y, x), 1))


def block(c_in, c, norm, **resize):
    return named(conv1=conv(c_in, c), norm1=norm_of(norm, c), act1=nn.LeakyReLU(0.1),
                 conv2=conv(c, c), norm2=norm_of(norm, c), act2=nn.LeakyReLU(0.1), **resize)


def named(**modules):
    return nn.Sequential(OrderedDict(modules))


def conv(c_in, c_out, stride=1):
    return nn.Conv2d(c_in, c_out, 3, stride, padding=1)


def up(c):
    return nn.ConvTranspose2d(c, c, 3, stride=2, padding=1, output_padding=1)


def norm_of(norm, c):
    return {"none": nn.Identity(), "group": nn.GroupNorm(c // 8 if c % 8 == 0 else 1, c, eps=1e-5)}[norm]


class Golden:
    """The tensors and cases of one file to be."""

    def __init__(self, seed):
        self.seed, self.tensors, self.cases = seed, {}, []

    def begin(self, name, **options):
        """Starts a case: later random numbers depend on the seed and its name alone."""
        assert all(case["name"] != name for case in self.cases), f"{name}: a second case of that name"
        self.cases.append({"name": name, **options})
        torch.manual_seed(zlib.crc32(f"{self.seed}/{name}".encode()))

    def put(self, **roles):
        for role, tensor in roles.items():
            self.tensors[f"{self.cases[-1]['name']}/{role}"] = tensor.detach().clone().contiguous()

    def put_op(self, forward, grads, **inputs):
        """Stores an op's inputs, its output y, a random dy, and the gradients under the names `grads`, in order."""
        for tensor in inputs.values():
            tensor.requires_grad_()
        y = forward(*inputs.values())
        dy = torch.randn_like(y)
        gradients = torch.autograd.grad(y, list(inputs.values()), dy)
        self.put(**inputs, dy=dy, y=y, **dict(zip(grads.split(), gradients, strict=True)))

    def save(self, path):
        # One metadata entry only: safetensors does not promise an order among several.
        save_file(self.tensors, path, metadata={"cases": json.dumps(self.cases)})
        print(f"{path}: {len(self.cases)} cases, {len(self.tensors)} tensors, {path.stat().st_size} bytes")


def act(y, slope):
    return y if slope is None else F.leaky_relu(y, slope)


def label(*sizes, slope=None):
    return "_".join(["x".join(map(str, sizes))] + ["lrelu"] * (slope is not None))


def make_ops(seed):
    g, randn = Golden(seed), torch.randn
    for k, s, p, slope, n, ci, co, h, w in CONV2D:
        g.begin(f"conv2d_k{k}s{s}p{p}_{ci}to{co}_" + label(n, h, w, slope=slope),
                op="conv2d", kernel=k, stride=s, padding=p, slope=slope)
        g.put_op(lambda x, w, b: act(F.conv2d(x, w, b, s, p), slope), "dx dw db",
                 x=randn(n, ci, h, w), w=randn(co, ci, k, k), b=randn(co))
    for k, s, p, op, slope, n, ci, co, h, w in CONV_TRANSPOSE2D:
        g.begin(f"conv_transpose2d_k{k}s{s}p{p}op{op}_{ci}to{co}_" + label(n, h, w, slope=slope),
                op="conv_transpose2d", kernel=k, stride=s, padding=p, output_padding=op, slope=slope)
        g.put_op(lambda x, w, b: act(F.conv_transpose2d(x, w, b, s, p, op), slope), "dx dw db",
                 x=randn(n, ci, h, w), w=randn(ci, co, k, k), b=randn(co))
    for slope, *shape in LEAKY_RELU:
        g.begin("leaky_relu_" + label(*shape), op="leaky_relu", slope=slope)
        g.put_op(lambda x: F.leaky_relu(x, slope), "dx", x=randn(shape))
    for groups, slope, offset, n, c, h, w in GROUP_NORM:
        g.begin(f"group_norm_g{groups}_" + label(n, c, h, w, slope=slope) + "_offset" * (offset != 0),
                op="group_norm", groups=groups, eps=1e-5, slope=slope)
        g.put_op(lambda x, gamma, beta: act(F.group_norm(x, groups, gamma, beta, 1e-5), slope), "dx dgamma dbeta",
                 x=randn(n, c, h, w) + offset, gamma=randn(c), beta=randn(c))
    for n, channels, h, w in CONCAT:
        g.begin("concat_" + "and".join(map(str, channels)) + "_" + label(n, h, w), op="concat")
        g.put_op(lambda *parts: torch.cat(parts, 1), " ".join(["da", "db_", "dc"][:len(channels)]),
                 **{role: randn(n, c, h, w) for role, c in zip("abc", channels)})
    for shape in ADD:
        g.begin("add_" + label(*shape), op="add")
        g.put_op(torch.add, "da db_", a=randn(shape), b=randn(shape))
    for shape in MSE:
        g.begin("mse_" + label(*shape), op="mse")
        x, t = randn(shape).requires_grad_(), randn(shape)
        y = F.mse_loss(x, t)
        g.put(x=x, t=t, y=y, dx=torch.autograd.grad(y, x)[0])
    for options in ADAM:
        make_adam(g, **dict(zip(("lr", "beta1", "beta2", "eps", "clip", "ema"), options, strict=True)))
    return g


def make_adam(g, lr, beta1, beta2, eps, clip, ema):
    name = "adam" + "_clip" * (clip is not None) + "_ema" * (ema is not None)
    g.begin(name, op="adam", lr=lr, beta1=beta1, beta2=beta2, eps=eps, clip=clip, ema=ema, steps=3)
    p = torch.randn(37, requires_grad=True)
    e = p.detach().clone()
    adam = torch.optim.Adam([p], lr=lr, betas=(beta1, beta2), eps=eps)
    g.put(p0=p)
    for step, scale in (1, 1.0), (2, 0.1), (3, 1.0):  # norms of about 6, 0.6, 6: the second is below the clip
        p.grad = scale * torch.randn(37)
        g.put(**{f"g{step}": p.grad})
        if clip is not None:
            nn.utils.clip_grad_norm_([p], clip)
        adam.step()
        g.put(**{f"p{step}": p})
        if ema is not None:
            e = ema * e + (1 - ema) * p.detach()
            g.put(**{f"e{step}": e})


def make_unet(seed):
    g = Golden(seed)
    for name, width, levels, norm in UNET:
        g.begin(name, width=width, levels=levels, norm=norm)
        net = UNet(width, levels, norm)
        x, t = torch.rand(2, 3, 16, 24) - 0.5, torch.rand(2, 3, 16, 24) - 0.5
        for key, p in net.named_parameters():
            if p.dim() == 4:
                nn.init.xavier_normal_(p)
            else:  # biases and beta near 0, gamma near 1: wide enough to matter and to get the first gradients clipped
                nn.init.normal_(p, mean=float("norm" in key and key.endswith("weight")), std=0.2)
        y = net(x)
        loss = F.mse_loss(y, t)
        loss.backward()
        g.put(x=x, t=t, y=y, loss=loss)
        g.put(**{f"param/{key}": p for key, p in net.named_parameters()})
        g.put(**{f"grad/{key}": p.grad for key, p in net.named_parameters()})
        g.put(losses=train(net, x, t, steps=10))
        g.put(**{f"after/{key}": p for key, p in net.named_parameters()})
    return g


def train(net, x, t, steps):
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    losses = []
    for _ in range(steps):
        adam.zero_grad()
        loss = F.mse_loss(net(x), t)
        losses.append(loss.detach())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
    return torch.stack(losses)


def main():
    parser = argparse.ArgumentParser(description="Writes PyTorch golden values for the engine's tests.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    parameters = sum(p.numel() for p in UNet(48, 5, "none").parameters())
    assert parameters == 1_551_987, f"unet has {parameters} parameters, the reports' own-blocks U-Net 1551987"
    args.out.mkdir(parents=True, exist_ok=True)
    make_ops(args.seed).save(args.out / "ops.safetensors")
    make_unet(args.seed).save(args.out / "unet.safetensors")


if __name__ == "__main__":
    main()
