"""The query language: parser, nodes, evaluation in Python and compilation to SQL.

* `ast`: the nodes. `canonical`: how they are made, in normal form. `literals`: constants.
* `parser`: text to nodes. `check`: nodes beside a schema.
* `compare`: when values are equal or less. `evaluate`: the meaning of a query, in Python.
* `columns`, `sql`: the same meaning for rows of an SQLite table.
* `terms`, `intervals`, `index`: very many queries beside one object.
* `query`: `Query`, which the other rooms use.
"""

from replication.query.parser import parse
from replication.query.query import Query, union

__all__ = ["Query", "parse", "union"]
