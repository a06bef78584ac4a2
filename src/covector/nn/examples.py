"""An example of each function that a table makes: a call, and what it gives; they are part of the docstrings."""

from covector._engine.base.public import examples

EXAMPLES = examples(
    "from covector import nn, numpy as cnp",
    """
>>> nn.hard_sigmoid(cnp.array([-4.0, 0.0, 4.0]))
Array([0. , 0.5, 1. ], dtype=float32)
>>> nn.hard_silu(cnp.array([-4.0, 1.0, 4.0]))
Array([-0.       ,  0.6666667,  4.       ], dtype=float32)
>>> nn.hard_tanh(cnp.array([-2.0, 0.5, 2.0]))
Array([-1. ,  0.5,  1. ], dtype=float32)
>>> nn.log1mexp(cnp.array([1e-3, 1.0]))
Array([-6.908255  , -0.45867515], dtype=float32)
>>> nn.log_sigmoid(cnp.array([-100.0, 0.0]))
Array([-100.       ,   -0.6931472], dtype=float32)
>>> nn.mish(cnp.array([-1.0, 0.0, 1.0]))
Array([-0.30340144,  0.        ,  0.86509836], dtype=float32)
>>> nn.relu(cnp.array([-1.0, 0.0, 2.0]))
Array([0., 0., 2.], dtype=float32)
>>> nn.relu6(cnp.array([-1.0, 2.0, 8.0]))
Array([0., 2., 6.], dtype=float32)
>>> nn.selu(cnp.array([-1.0, 0.0, 1.0]))
Array([-1.1113307,  0.       ,  1.050701 ], dtype=float32)
>>> nn.sigmoid(cnp.array([-1.0, 0.0, 100.0]))
Array([0.26894143, 0.5       , 1.        ], dtype=float32)
>>> nn.silu(cnp.array([-1.0, 0.0, 1.0]))
Array([-0.26894143,  0.        ,  0.7310586 ], dtype=float32)
>>> nn.soft_sign(cnp.array([-1.0, 0.0, 3.0]))
Array([-0.5 ,  0.  ,  0.75], dtype=float32)
>>> nn.softplus(cnp.array([-1.0, 0.0, 100.0]))
Array([  0.3132617,   0.6931472, 100.       ], dtype=float32)
>>> nn.sparse_plus(cnp.array([-2.0, 0.0, 2.0]))
Array([0.  , 0.25, 2.  ], dtype=float32)
>>> nn.sparse_sigmoid(cnp.array([-2.0, 0.0, 2.0]))
Array([0. , 0.5, 1. ], dtype=float32)
""",
)
