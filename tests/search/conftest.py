from tests.content.conftest import make_post, make_user

__all__ = ["make_post", "make_user"]
