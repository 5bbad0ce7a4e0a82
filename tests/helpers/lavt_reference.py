"""LAVT once more, straight from its published weights: plain functions that share no code with the package.

Written from the description of the architecture (Yang et al., CVPR 2022; of Swin: Liu et al., ICCV 2021) in
the layout of the published weights, so that it shows what a conversion has to preserve.
"""
from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Weights:
    """The weights below a prefix: ``w['norm.weight']``, ``w.at('attn')``."""

    def __init__(self, state: dict, prefix: str = ''):
        self.state, self.prefix = state, prefix

    def __getitem__(self, name: str) -> Tensor:
        return self.state[self.prefix + name]

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.state

    def at(self, name: str) -> Weights:
        return Weights(self.state, f'{self.prefix}{name}.')

    def linear(self, name: str, x: Tensor) -> Tensor:
        bias = self[f'{name}.bias'] if f'{name}.bias' in self else None
        return F.linear(x, self[f'{name}.weight'].flatten(1), bias)

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self[f'{name}.weight'], self[f'{name}.bias'])


@torch.no_grad()
def lavt_logits(model: dict, images: Tensor, words: Tensor, mask: Tensor, *, fusion_heads=(1, 1, 1, 1)) -> Tensor:
    """Return the logits at stride 4, (B, 2, H / 4, W / 4).

    Args:
        model: Entry ``model`` of a published checkpoint.
        images: (B, 3, H, W).
        words: BERT's last hidden state, (B, L, D).
        mask: 1 for real tokens, (B, L).
        fusion_heads: Heads of the pixel-word attention of each stage.
    """
    backbone = Weights(model).at('backbone')
    side = backbone['patch_embed.proj.weight'].shape[-1]
    x = F.pad(images, (0, -images.shape[3] % side, 0, -images.shape[2] % side))
    x = F.conv2d(x, backbone['patch_embed.proj.weight'], backbone['patch_embed.proj.bias'], stride=side)
    x = backbone.norm('patch_embed.norm', x.permute(0, 2, 3, 1))  # B x H x W x C, as everywhere in this file
    fused = []
    for stage in range(4):
        weights = backbone.at(f'layers.{stage}')
        block = 0
        while f'blocks.{block}.norm1.weight' in weights:
            x = swin_block(weights.at(f'blocks.{block}'), x, shifted=block % 2 == 1)
            block += 1
        f = pixel_word_attention(weights.at('fusion'), x, words, mask, fusion_heads[stage])
        fused.append(backbone.norm(f'norm{stage}', f))
        if stage < 3:
            gate = weights.linear('res_gate.2', weights.linear('res_gate.0', f).relu()).tanh()
            x = merge_patches(weights.at('downsample'), x + gate * f)
    return decode(Weights(model).at('classifier'), [f.permute(0, 3, 1, 2) for f in fused])


def swin_block(weights: Weights, x: Tensor, *, shifted: bool) -> Tensor:
    height, width = x.shape[1:3]
    table = weights['attn.relative_position_bias_table']  # (2 w - 1)^2 x heads
    window, heads = (round(table.shape[0]**0.5) + 1) // 2, table.shape[1]
    y = F.pad(weights.norm('norm1', x), (0, 0, 0, -width % window, 0, -height % window))
    shift = window // 2 if shifted else 0
    y = y.roll((-shift, -shift), (1, 2))
    rows, columns = (region(size, window, shift) for size in y.shape[1:3])
    regions = windows((rows[:, None] * 3 + columns)[None, :, :, None], window).squeeze(-1)  # N x w^2
    apart = regions[:, :, None] != regions[:, None]  # N x w^2 x w^2: wrapped around by the roll
    y = attend(weights.at('attn'), windows(y, window), position_bias(table, window), apart, heads)
    y = unwindows(y, (x.shape[0], -(-height // window), -(-width // window)), window)
    x = x + y.roll((shift, shift), (1, 2))[:, :height, :width]
    return x + weights.linear('mlp.fc2', F.gelu(weights.linear('mlp.fc1', weights.norm('norm2', x))))


def region(size: int, window: int, shift: int) -> Tensor:
    """Which of three stripes each of ``size`` positions comes from, after a roll by ``shift``."""
    places = torch.arange(size)
    return (places >= size - window).long() + (places >= size - shift).long() if shift else torch.zeros_like(places)


def windows(x: Tensor, window: int) -> Tensor:
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window, window, width // window, window, channels)
    return x.transpose(2, 3).reshape(-1, window * window, channels)


def unwindows(x: Tensor, grid: tuple, window: int) -> Tensor:
    batch, rows, columns = grid
    x = x.reshape(batch, rows, columns, window, window, -1).transpose(2, 3)
    return x.reshape(batch, rows * window, columns * window, -1)


def position_bias(table: Tensor, window: int) -> Tensor:
    """(heads, w^2, w^2)."""
    return table[position_rows(window)].permute(2, 0, 1)


def position_rows(window: int) -> Tensor:
    """The table's row for the offset of each pair of positions, (w^2, w^2)."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + (x[:, None] - x + window - 1)


def attend(weights: Weights, x: Tensor, bias: Tensor, apart: Tensor, heads: int) -> Tensor:
    q, k, v = weights.linear('qkv', x).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # each N x heads x w^2 x c
    scores = q @ k.transpose(2, 3) * q.shape[-1]**-0.5 + bias
    images = len(x) // len(apart)  # the same mask for every image
    scores = scores - 100. * apart.repeat(images, 1, 1)[:, None]
    return weights.linear('proj', (scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def merge_patches(weights: Weights, x: Tensor) -> Tensor:
    x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
    pixels = [x[:, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
    return weights.linear('reduction', weights.norm('norm', torch.cat(pixels, dim=-1)))


def pixel_word_attention(weights: Weights, x: Tensor, words: Tensor, mask: Tensor, heads: int) -> Tensor:
    batch, height, width, channels = x.shape
    x = x.flatten(1, 2)  # B x P x C
    real = mask[..., None].to(x)  # B x L x 1
    query = over_positions(weights.linear('image_lang_att.f_query.0', x))
    key = weights.linear('image_lang_att.f_key.0', words) * real
    value = weights.linear('image_lang_att.f_value.0', words) * real
    query, key, value = (t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    scores = query @ key.transpose(2, 3) * channels**-0.5 + (1e4 * real[:, None].transpose(2, 3) - 1e4)
    answer = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    language = over_positions(weights.linear('image_lang_att.W.0', answer))
    visual = F.gelu(weights.linear('vis_project.0', x))
    return F.gelu(weights.linear('project_mm.0', visual * language)).unflatten(1, (height, width))


def over_positions(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Instance normalization of B x P x C, over the positions."""
    return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + eps).sqrt()


def decode(weights: Weights, fused: list) -> Tensor:
    y = fused[3]
    for stage in (4, 3, 2):
        skip = fused[stage - 2]
        y = torch.cat([F.interpolate(y, size=skip.shape[2:], mode='bilinear', align_corners=True), skip], dim=1)
        for j in (1, 2):
            norm = weights.at(f'bn{j}_{stage}')
            y = F.conv2d(y, weights[f'conv{j}_{stage}.weight'], padding=1)
            y = F.batch_norm(y, norm['running_mean'], norm['running_var'], norm['weight'], norm['bias']).relu()
    return F.conv2d(y, weights['conv1_1.weight'], weights['conv1_1.bias'])
