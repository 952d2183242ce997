from tests.vectors import open_index, store, vectors

__all__ = ["open_index", "store", "vectors"]
