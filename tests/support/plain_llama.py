"""A Llama in plain NumPy and float64, for suites: the formulas, one after the other, and no library's layers.

Weights go by their names in a checkpoint, as `self_attn.q_proj.weight`, each `[out, in]`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = Mapping[str, np.ndarray]


def logits(weights: Weights, ids: list[int], heads: int, base: float = 10000.0, eps: float = 1e-6) -> np.ndarray:
    """What the model predicts after each of T ids, `[T, V]`; names without a leading `model.`."""
    x = weights["embed_tokens.weight"][ids]  # [T, C]
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    for layer in range(layers):
        x = block(within(weights, f"layers.{layer}."), x, heads, base, eps)
    return np.asarray(normed(x, weights["norm.weight"], eps) @ weights["lm_head.weight"].T)


def within(weights: Weights, prefix: str) -> dict[str, np.ndarray]:
    """The weights of one part, by their names in it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def block(weights: Weights, x: np.ndarray, heads: int, base: float = 10000.0, eps: float = 1e-6) -> np.ndarray:
    """One block, `[T, C]` to `[T, C]`."""
    h = normed(x, weights["input_layernorm.weight"], eps)
    x = x + attention(within(weights, "self_attn."), h, heads, base)
    h = normed(x, weights["post_attention_layernorm.weight"], eps)
    gate = h @ weights["mlp.gate_proj.weight"].T
    gated = gate / (1 + np.exp(-gate)) * (h @ weights["mlp.up_proj.weight"].T)  # SwiGLU
    return np.asarray(x + gated @ weights["mlp.down_proj.weight"].T)


def attention(weights: Weights, x: np.ndarray, heads: int, base: float = 10000.0) -> np.ndarray:
    """Causal attention with rotary positions, `[T, C]` to `[T, C]`; key-value heads as many as the weights say."""
    width = len(weights["q_proj.weight"]) // heads

    def split(rows: np.ndarray) -> np.ndarray:
        return rows.reshape(len(rows), -1, width).swapaxes(0, 1)  # [H, T, D]

    q, k, v = (split(x @ weights[f"{name}_proj.weight"].T) for name in "qkv")
    k, v = (np.repeat(group, heads // len(group), axis=0) for group in (turned(k, base), v))
    scores = turned(q, base) @ k.swapaxes(1, 2) / np.sqrt(width)  # [H, T, T]
    scores[:, ~np.tri(len(x), dtype=bool)] = -np.inf
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (shares / shares.sum(-1, keepdims=True)) @ v  # [H, T, D]
    return np.asarray(mixed.swapaxes(0, 1).reshape(len(x), -1) @ weights["o_proj.weight"].T)


def normed(x: np.ndarray, weight: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    """RMSNorm over the last axis."""
    return np.asarray(x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight)


def turned(x: np.ndarray, base: float = 10000.0) -> np.ndarray:
    """The rotary embedding of `[H, T, D]`, half against half."""
    half = x.shape[-1] // 2
    angles = np.outer(np.arange(x.shape[1]), base ** (-np.arange(half) / half))
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)], -1)
