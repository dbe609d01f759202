"""The merge: one file a type, one function over them all.

A *state* is a structure of lists and maps that canonical MessagePack can say; a *delta* is a
state that says only what one transaction wrote. `merge(state, delta)` is the one merge function:
commutative, associative, idempotent but for counters, and it raises on nothing that
`crdt.check` accepts.

Convention of all `merge_*` functions here: the first argument is consumed (changed in place or
reused in the result), the second is never changed and shares nothing mutable with the result.
"""
