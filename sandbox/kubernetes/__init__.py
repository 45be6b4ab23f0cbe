"""The Kubernetes stand-in: an API server with the controllers of workloads, as far as the product's calls go."""
