"""The Helm stand-in: a program with helm's arguments and words, and releases kept by the Kubernetes stand-in."""
