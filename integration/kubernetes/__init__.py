"""A real Kubernetes control plane on loopback, kwok playing its nodes: the judge of two stand-ins."""
