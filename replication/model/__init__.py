"""Values, ids and schemas: what an object is made of."""
