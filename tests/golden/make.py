"""Golden values from PyTorch in float64: the top of the chain of trust PyTorch -> CPU engine -> GPU kernels.

    pip install -r requirements.txt
    python make.py [--seed 1] [--out DIR]          writes DIR/{ops,unet,nets}.safetensors

Pictures are NCHW, convolution weights OIHW, transposed-convolution weights (in, out, kh, kw), as PyTorch has them.
Each file has one metadata entry, "cases": a JSON list with one object per case ("name" and the case's options).

ops.safetensors    "<case>/<role>"; dy is a random upstream gradient, dx is the gradient with respect to x and so on
    conv2d, conv_transpose2d    x w b dy -> y dx dw db             slope: null, or of the leaky ReLU after the bias
    leaky_relu, sigmoid         x dy -> y dx
    max_pool2d, upsample        x dy -> y dx                       kernel: side of the squares
    group_norm                  x gamma beta dy -> y dx dgamma dbeta            slope: as above
    batch_norm                  x gamma beta running_mean running_var dy -> y dx dgamma dbeta running_mean1 running_var1
    batch_norm_kept             the same in evaluation: no gradients, and the statistics stay
    concat, add, subtract       a b [c] dy -> y da db_ [dc]        concat is along channels
    unfold, fold                x dy -> y dx                       windows are (N, K * K * C, OH, OW), tap by tap
    mse, loss                   x t [mask] -> y dx                 y is a scalar, its upstream gradient is 1; t and mask hold
                                                                   "targets" pictures each, channel after channel
    adam, sgd                   p0 g1 g2 g3 -> p1 p2 p3 [e1 e2 e3]      e: moving average of p, starting at p0
unet.safetensors   the network `UNet` of nets.py and ten training steps with it on one batch
    "<case>/x", "t", "y", "loss"             input, target, output, mean squared error
    "<case>/param/<name>", "grad/<name>"     parameters and the gradient of the loss, by state-dict name
    "<case>/losses", "after/<name>"          ten losses, each taken before its update; parameters after the last one
The steps: Adam, lr 1e-3, betas 0.9 and 0.99, eps 1e-8, the norm of all gradients together clipped to 1.
nets.safetensors   every network of nets.py in the same way, small; the names as above, but
    x, t, y, parameters, grad    are stored in few bits; x, t and the parameters are exact so, y and grad to 2^-24
    "<case>/after/<name>"        only statistics that BatchNorm keeps; "eval" is the output with them and the first parameters
The steps: "optimizer" with "lr", "betas" and "clip" of the case; Adam's eps is 1e-8.

The same seed gives the same bytes for one version of PyTorch on one machine. Each case has its own random numbers,
drawn from the seed and the case's name, so that a new case leaves the others as they are.
"""
import argparse
import json
import zlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from nets import EpflConvNet, EpflResUNet, EpflUNet, N2nUNet, UNet, assert_full_size

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
    (3, 1, 1, 0.0, 2, 5, 6, 7, 5),
    (2, 2, 0, 0.0, 1, 3, 6, 8, 6),
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
LEAKY_RELU = [(0.1, 2, 5, 5, 7), (0.01, 1, 8, 3, 3), (0.0, 2, 5, 3, 7)]  # slope, n, c, h, w
SIGMOID = [(2, 5, 5, 7), (1, 8, 3, 3)]  # n, c, h, w
MAX_POOL2D = [(2, 2, 5, 7, 9), (2, 1, 8, 4, 4), (3, 2, 3, 11, 7), (3, 1, 13, 3, 3)]  # kernel, n, c, h, w
UPSAMPLE = [(2, 2, 5, 3, 4), (3, 1, 9, 2, 5)]  # kernel, n, c, h, w
BATCH_NORM = [  # slope, offset of x, n, c, h, w
    (None, 0, 2, 6, 5, 7),
    (0.1, 0, 3, 13, 4, 3),
    (0.0, 0, 1, 8, 9, 11),
    (None, 100, 2, 3, 11, 13),  # 286 elements in a channel; E[x^2] - E[x]^2 would cancel here
]
WINDOWS = [  # kernel, stride, padding, n, c, h, w
    (3, 1, 1, 2, 5, 4, 6),
    (3, 2, 1, 1, 6, 7, 5),
    (2, 2, 0, 2, 3, 5, 7),
    (1, 1, 0, 1, 4, 3, 2),
]
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
ADD_ACT = [(0.01, 2, 5, 3, 5), (0.0, 1, 6, 4, 3)]  # slope, n, c, h, w
MSE = [(2, 3, 3, 7), (1, 1, 17, 19)]  # n, c, h, w
LOSS = [  # kind, exponent, targets
    ("l1", None, 1), ("l2_masked", None, 1), ("l0", 2.0, 1), ("l0", 1.5, 1), ("l0", 0.7, 1), ("l0", 0.1, 1),
    ("l1", None, 3), ("l2_masked", None, 2), ("l0", 0.7, 3), ("outliers", None, 1), ("outliers", None, 4),
]
ADAM = [  # lr, beta1, beta2, eps, clip, ema
    (1e-3, 0.9, 0.999, 1e-8, None, None),
    (1e-2, 0.9, 0.99, 1e-8, 1.0, None),
    (1e-2, 0.8, 0.95, 1e-2, 1.0, 0.9),  # an eps large enough to tell where it is added
]
ADAMW = [(1e-2, 0.9, 0.99, 1e-8, None, 0.1), (1e-2, 0.9, 0.999, 1e-8, 1.0, 0.05)]  # as for ADAM, but decay for ema
SGD = [(1e-2, 0.0, None, None), (1e-2, 0.9, None, 0.9), (1e-1, 0.9, 1.0, None)]  # lr, momentum, clip, ema
UNET = [("unet_w8_l2", 8, 2, "none"), ("unet_w6_l3_group", 6, 3, "group"), ("unet_w16_l1", 16, 1, "none")]


ADAM_255 = dict(range="255", optimizer="adam", lr=8.5e-4, betas=[0.9, 0.999], clip=None)
ADAM_N2N = dict(range="0.5", optimizer="adam", lr=3e-4, betas=[0.9, 0.99], clip=None)
ADAM_OURS = dict(range="0.5", optimizer="adam", lr=1e-3, betas=[0.9, 0.99], clip=1.0)
SGD_TWO = dict(range="normal", optimizer="sgd", lr=2.0, betas=None, clip=None)
NETS = [  # name, net, shared, down, up, norm, residual, levels, recipe
    ("epfl_unet_shared", "epfl-unet", True, "conv", "convt", "none", False, 5, ADAM_255),
    ("epfl_unet_own", "epfl-unet", False, "conv", "convt", "none", False, 5, ADAM_255),
    ("epfl_resunet_shared", "epfl-resunet", True, "maxpool", "convt", "group", False, 5, ADAM_255),
    ("epfl_resunet_own_text", "epfl-resunet", False, "conv", "convt", "group", True, 5, ADAM_255),
    ("n2n_unet", "n2n-unet", False, "maxpool", "nearest", "none", False, 5, ADAM_N2N),
    ("epfl_convnet", "epfl-convnet", False, "conv", "nearest", "none", False, 2, SGD_TWO),
    ("unet_batch_maxpool_nearest", "unet", False, "maxpool", "nearest", "batch", False, 2, ADAM_OURS),
    ("unet_residual", "unet", False, "conv", "convt", "none", True, 2, ADAM_OURS),
]


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
    after = {None: [], 0.0: ["relu"]}.get(slope, ["lrelu"])
    return "_".join(["x".join(map(str, sizes))] + after)


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
        g.begin(("leaky_relu_" if slope else "relu_") + label(*shape), op="leaky_relu", slope=slope)
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
        options = dict(zip(("lr", "beta1", "beta2", "eps", "clip", "ema"), options, strict=True))
        make_updates(g, "adam", adam, **options)
    make_more_ops(g)
    return g


def make_more_ops(g):
    randn = torch.randn
    for n, c, h, w in SIGMOID:
        g.begin("sigmoid_" + label(n, c, h, w), op="sigmoid")
        x = 3 * randn(n, c, h, w)
        x[0, 0, 0, :3] = torch.tensor([90.0, -90.0, -1000.0])  # exp(90) is beyond single precision, exp(1000) beyond double
        g.put_op(torch.sigmoid, "dx", x=x)
    for k, *shape in MAX_POOL2D:
        g.begin(f"max_pool2d_k{k}_" + label(*shape), op="max_pool2d", kernel=k)
        # Three values only: nearly every square has its largest value several times.
        g.put_op(lambda x: F.max_pool2d(x, k), "dx", x=torch.randint(-1, 2, shape).double())
    for k, *shape in UPSAMPLE:
        g.begin(f"upsample_k{k}_" + label(*shape), op="upsample", kernel=k)
        g.put_op(lambda x: F.interpolate(x, scale_factor=k, mode="nearest"), "dx", x=randn(shape))
    for slope, offset, *shape in BATCH_NORM:
        make_batch_norm(g, slope, offset, shape)
    for k, s, p, n, c, h, w in WINDOWS:
        make_windows(g, (k, s, p), n, c, (h, w))
    for slope, *shape in ADD_ACT:
        g.begin("add_" + label(*shape, slope=slope), op="add", slope=slope)
        g.put_op(lambda a, b: act(a + b, slope), "da db_", a=randn(shape), b=randn(shape))
    for shape in ADD:
        g.begin("subtract_" + label(*shape), op="subtract")
        g.put_op(torch.sub, "da db_", a=randn(shape), b=randn(shape))
    for kind, power, targets in LOSS:
        make_loss(g, kind, power, targets)
    for lr, beta1, beta2, eps, clip, decay in ADAMW:
        make_updates(g, "adamw", adam, lr=lr, beta1=beta1, beta2=beta2, eps=eps, clip=clip, ema=None, decay=decay)
    for lr, momentum, clip, ema in SGD:
        sgd = lambda p, lr, momentum: torch.optim.SGD(p, lr, momentum)
        make_updates(g, "sgd" + "_momentum" * (momentum > 0), sgd, lr=lr, momentum=momentum, clip=clip, ema=ema)


def make_batch_norm(g, slope, offset, shape):
    c = shape[1]
    suffix = label(*shape, slope=slope) + "_offset" * (offset != 0)
    g.begin("batch_norm_" + suffix, op="batch_norm", eps=1e-5, momentum=0.1, slope=slope)
    x, gamma, beta = torch.randn(shape) + offset, torch.randn(c), torch.randn(c)
    before = [offset + torch.randn(c), 0.5 + torch.rand(c)]
    mean, variance = (t.clone() for t in before)
    # The call changes mean and variance.
    g.put_op(lambda x, gamma, beta: act(F.batch_norm(x, mean, variance, gamma, beta, True, 0.1, 1e-5), slope),
             "dx dgamma dbeta", x=x, gamma=gamma, beta=beta)
    g.put(running_mean=before[0], running_var=before[1], running_mean1=mean, running_var1=variance)
    g.begin("batch_norm_kept_" + suffix, op="batch_norm_kept", eps=1e-5, momentum=0.1, slope=slope)
    y = act(F.batch_norm(x, mean, variance, gamma, beta, False, 0.1, 1e-5), slope)
    g.put(x=x, gamma=gamma, beta=beta, running_mean=mean, running_var=variance, running_mean1=mean, running_var1=variance, y=y)


def make_windows(g, window, n, c, size):
    k, stride, padding = window
    columns = [(side + 2 * padding - k) // stride + 1 for side in size]
    options = dict(kernel=k, stride=stride, padding=padding)

    def unfold(x):  # PyTorch's rows are channel by channel, each with its taps; the engine's tap by tap
        y = F.unfold(x, k, padding=padding, stride=stride)
        return y.view(n, c, k * k, *columns).transpose(1, 2).reshape(n, k * k * c, *columns)

    def fold(x):
        x = x.view(n, k * k, c, -1).transpose(1, 2).reshape(n, c * k * k, -1)
        return F.fold(x, size, k, padding=padding, stride=stride)

    suffix = f"k{k}s{stride}p{padding}_" + label(n, c, *size)
    g.begin("unfold_" + suffix, op="unfold", **options)
    g.put_op(unfold, "dx", x=torch.randn(n, c, *size))
    g.begin("fold_" + suffix, op="fold", **options)
    g.put_op(fold, "dx", x=torch.randn(n, k * k * c, *columns))


def distance(x, low, high):
    """The mean of |x - u| over u uniform in [low, high]."""
    inside = ((x - low) ** 2 + (x - high) ** 2) / (2 * (high - low))
    return torch.where((x > low) & (x < high), inside, (x - (low + high) / 2).abs())


def make_loss(g, kind, power, targets):
    n, c, h, w = shape = (2, 3, 5, 7)
    g.begin(f"loss_{kind}" + f"_{power}" * (power is not None) + f"_of_{targets}" * (targets > 1),
            op="loss", kind=kind, power=power, targets=targets)
    # Multiples of 1/256: differences are exact in single precision too, however small they are, and some are zero.
    x, t = (torch.round(256 * torch.randn(n, k * c, h, w)) / 256 for k in (1, targets))
    t[0, 1, 2, 2:6] = x[0, 1, 2, 2:6]
    mask = torch.randint(0, 2, (n, targets, h, w)).double()
    x.requires_grad_()
    d = x.unsqueeze(1) - t.view(n, targets, c, h, w)
    y = {
        "l1": lambda: F.l1_loss(x.unsqueeze(1).expand_as(d), t.view_as(d)),
        "outliers": lambda: F.l1_loss(x.unsqueeze(1).expand_as(d), t.view_as(d)) - 0.25 * torch.mean(distance(x, -0.5, 1.0)),
        "l2_masked": lambda: torch.mean(mask.unsqueeze(2) * d ** 2),
        "l0": lambda: torch.mean((torch.abs(d) + 1e-8) ** power),
    }[kind]()
    g.put(x=x, t=t, y=y, dx=torch.autograd.grad(y, x)[0], **({"mask": mask} if kind == "l2_masked" else {}))


def adam(p, lr, beta1, beta2, eps, decay=0.0):
    return torch.optim.AdamW(p, lr, (beta1, beta2), eps, decay) if decay else torch.optim.Adam(p, lr, (beta1, beta2), eps)


def make_updates(g, name, optimizer, lr, clip, ema, **constants):
    name += "_clip" * (clip is not None) + "_ema" * (ema is not None)
    op = "sgd" if "momentum" in constants else "adam"
    g.begin(name, op=op, lr=lr, **constants, clip=clip, ema=ema, steps=3)
    p = torch.randn(37, requires_grad=True)
    e = p.detach().clone()
    optimizer = optimizer([p], lr, **constants)
    g.put(p0=p)
    for step, scale in (1, 1.0), (2, 0.1), (3, 1.0):  # norms of about 6, 0.6, 6: the second is below the clip
        p.grad = scale * torch.randn(37)
        g.put(**{f"g{step}": p.grad})
        if clip is not None:
            nn.utils.clip_grad_norm_([p], clip)
        optimizer.step()
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
        initialise(net)
        y = net(x)
        loss = F.mse_loss(y, t)
        loss.backward()
        g.put(x=x, t=t, y=y, loss=loss)
        g.put(**{f"param/{key}": p for key, p in net.named_parameters()})
        g.put(**{f"grad/{key}": p.grad for key, p in net.named_parameters()})
        g.put(losses=train(net, x, t, 10, adam(net.parameters(), 1e-3, 0.9, 0.99, 1e-8), 1.0))
        g.put(**{f"after/{key}": p for key, p in net.named_parameters()})
    return g


def initialise(net):
    for key, p in net.named_parameters():
        if p.dim() == 4:
            nn.init.xavier_normal_(p)
        else:  # biases and beta near 0, gamma near 1: wide enough to matter and to get the first gradients clipped
            norm = "norm" in key or "bn" in key
            nn.init.normal_(p, mean=float(norm and key.endswith("weight")), std=0.2)


def train(net, x, t, steps, optimizer, clip):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), t)
        losses.append(loss.detach())
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
    return torch.stack(losses)


def make_nets(seed):
    g = Golden(seed)
    for name, kind, shared, down, up, norm, residual, levels, recipe in NETS:
        width = 12 if kind == "epfl-resunet" else 6  # three groups, and concatenated channels in fours
        g.begin(name, net=kind, shared=shared, down=down, up=up, norm=norm, residual=residual, width=width, levels=levels,
                **recipe)
        net = {
            "epfl-unet": lambda: EpflUNet(width, shared),
            "epfl-resunet": lambda: EpflResUNet(width, shared, down, residual),
            "epfl-convnet": EpflConvNet,
            "n2n-unet": lambda: N2nUNet(width),
            "unet": lambda: UNet(width, levels, norm, down, up, residual),
        }[kind]()
        initialise(net)
        for p in net.parameters():
            p.data = p.data.float().double()
        x, t = pictures(recipe["range"], (2, 3, 32, 64) if levels == 5 else (2, 3, 16, 24))
        first = {f"param/{key}": v.detach().clone() for key, v in net.state_dict().items() if "tracked" not in key}
        y = net(x)
        loss = F.mse_loss(y, t)
        loss.backward()
        g.put(x=x.half(), t=t.half(), y=y.float(), loss=loss)
        g.put(**{key: v.float() for key, v in first.items()})
        g.put(**{f"grad/{key}": p.grad.float() for key, p in net.named_parameters()})
        net.load_state_dict({key.removeprefix("param/"): v for key, v in first.items()}, strict=False)
        optimizer = (torch.optim.SGD(net.parameters(), recipe["lr"]) if recipe["optimizer"] == "sgd"
                     else adam(net.parameters(), recipe["lr"], *recipe["betas"], 1e-8))
        g.put(losses=train(net, x, t, 10, optimizer, recipe["clip"]))
        if norm == "batch":
            kept = {key: v for key, v in net.state_dict().items() if "running" in key}
            g.put(**{f"after/{key}": v for key, v in kept.items()})
            before = {key.removeprefix("param/"): v for key, v in first.items()}
            net.load_state_dict(before | kept, strict=False)
            g.put(eval=net.eval()(x))
    return g


def pictures(scale, shape):
    """Input and target of few bits: 0 to 255, -0.5 to 0.5, or about normal and 0 to 1."""
    x, t = (torch.randint(0, 256, shape).double() for _ in range(2))
    if scale == "0.5":
        return x / 256 - 0.5, t / 256 - 0.5
    if scale == "normal":
        return torch.round(64 * torch.randn(shape)) / 64, t / 256
    return x, t


def main():
    parser = argparse.ArgumentParser(description="Writes PyTorch golden values for the engine's tests.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    assert_full_size()
    args.out.mkdir(parents=True, exist_ok=True)
    make_ops(args.seed).save(args.out / "ops.safetensors")
    make_unet(args.seed).save(args.out / "unet.safetensors")
    make_nets(args.seed).save(args.out / "nets.safetensors")


if __name__ == "__main__":
    main()
