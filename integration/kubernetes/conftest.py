"""The cluster that this package is about."""

from integration.kubernetes.fixtures import real_cluster

__all__ = ["real_cluster"]
