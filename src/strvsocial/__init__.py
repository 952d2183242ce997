"""STRV.social: a self-hosted social network that understands what is posted."""

__version__ = "0.1.0"
