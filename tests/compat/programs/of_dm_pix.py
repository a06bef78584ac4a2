"""dm_pix: images turned, filtered, coloured, compared."""

from __future__ import annotations

from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp
from cases import case

KEY = jax.random.PRNGKey(0)
IMAGE = jax.random.uniform(KEY, (16, 12, 3))


@case(rtol=1e-4, atol=1e-5)
def turned() -> Any:
    def run(x: Any) -> Any:
        return (
            pix.flip_left_right(x),
            pix.flip_up_down(x),
            pix.rot90(x, 1),
            pix.pad_to_size(x, 20, 20),
            pix.resize_with_crop_or_pad(x, 10, 20),
            pix.center_crop(x, 8, 8),
            pix.rotate(x, 0.3),
            pix.affine_transform(x, jnp.array([[1.1, 0.2, 0], [0.1, 0.9, 1], [0, 0, 1]])),
            pix.depth_to_space(jnp.ones((2, 2, 4)), 2),
            pix.space_to_depth(x, 2),
        )

    return jax.jit(run), (IMAGE,)


@case(rtol=1e-4, atol=1e-4)
def coloured() -> Any:
    def run(x: Any) -> Any:
        return (
            pix.adjust_brightness(x, 0.1),
            pix.adjust_contrast(x, 1.3),
            pix.adjust_gamma(x, 0.8),
            pix.adjust_hue(x, 0.2),
            pix.adjust_saturation(x, 0.6),
            pix.rgb_to_hsv(x),
            pix.hsl_to_rgb(pix.rgb_to_hsl(x)),
            pix.rgb_to_grayscale(x),
            pix.solarize(x, 0.5),
        )

    return jax.jit(run), (IMAGE,)


@case(rtol=1e-4, atol=1e-5)
def filtered_and_compared() -> Any:
    def loss(x: Any, y: Any) -> Any:
        return pix.ssim(x, y, filter_size=5)

    def run(x: Any) -> Any:
        blurred = pix.gaussian_blur(x, 1.0, 5)
        measured = [f(x, blurred) for f in (pix.mae, pix.mse, pix.psnr, pix.rmse, pix.simse)]
        return blurred, measured, jax.value_and_grad(loss)(blurred, x)

    return jax.jit(run), (IMAGE,)


@case(rtol=1e-4, atol=1e-5)
def at_random() -> Any:
    def run(key: Any, x: Any) -> Any:
        return (
            pix.random_flip_left_right(key, x),
            pix.random_brightness(key, x, 0.3),
            pix.random_crop(key, x, (8, 8, 3)),
            pix.random_hue(key, x, 0.2),
            pix.elastic_deformation(key, x, jnp.float32(2.0), 3.0),
        )

    keys = jax.random.split(KEY, 3)
    return jax.jit(jax.vmap(run)), (keys, jnp.stack([IMAGE] * 3))
