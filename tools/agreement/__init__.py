"""How far results agree with those of JAX: the same calls in two processes, compared through files.

python -m tools.agreement --jax PYTHON            compares, and writes docs/agreement.md
python -m tools.agreement --jax PYTHON --only numpy.sum,lax.dot    prints how these differ
python -m tools.agreement --jax PYTHON --only lax --state off    the same for a module

PYTHON is an interpreter that has JAX.  The calls are drawn from JAX's signatures (`calls`) by a table of what may be
given for a parameter (`recipes`); `outcomes` runs them with one of the two libraries, `compare` says what differs, and
`deliberate.txt` which differences are meant, and why.
"""
