from tests.content.conftest import make_post, make_user
from tests.vectors import open_index, store, vectors

__all__ = ["make_post", "make_user", "open_index", "store", "vectors"]
