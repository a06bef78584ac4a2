"""jraph: networks on graphs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jraph
from cases import case

GRAPH = jraph.GraphsTuple(
    nodes=jnp.arange(12.0).reshape(4, 3) / 10,
    edges=jnp.arange(10.0).reshape(5, 2) / 10,
    senders=jnp.array([0, 1, 2, 3, 0]),
    receivers=jnp.array([1, 2, 3, 0, 2]),
    n_node=jnp.array([4]),
    n_edge=jnp.array([5]),
    globals=jnp.ones((1, 2)),
)


@case()
def a_graph_network() -> Any:
    def loss(w: Any, graph: Any) -> Any:
        def edges(e: Any, s: Any, r: Any, g: Any) -> Any:
            return jnp.tanh(jnp.concatenate([e, s, r, g], 1) @ w["edge"])

        def nodes(n: Any, s: Any, r: Any, g: Any) -> Any:
            return jnp.tanh(jnp.concatenate([n, s, r, g], 1) @ w["node"])

        net = jraph.GraphNetwork(edges, nodes)
        out = net(graph)
        return jnp.sum(out.nodes**2) + jnp.sum(out.edges)

    key = jax.random.PRNGKey(0)
    w = {"edge": jax.random.normal(key, (10, 4)), "node": jax.random.normal(key, (13, 3))}
    return jax.jit(jax.value_and_grad(loss)), (w, GRAPH)


@case()
def batches_and_segments() -> Any:
    def run(graph: Any) -> Any:
        both = jraph.pad_with_graphs(jraph.batch([graph, graph]), 12, 14, 4)
        weights = jraph.segment_softmax(graph.edges[:, 0], graph.receivers, 4)
        convolved = jraph.GraphConvolution(lambda n: n * 2, add_self_edges=True)(both)
        parts = jraph.unbatch(jraph.unpad_with_graphs(both))
        return (
            both, weights, convolved.nodes, [p.nodes for p in parts],
            jraph.segment_mean(graph.edges, graph.receivers, 4), jraph.get_node_padding_mask(both),
        )  # fmt: skip

    return run, (GRAPH,)
