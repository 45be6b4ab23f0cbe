"""The gateway: what GitHub, people's browsers and monitoring reach over HTTP. No flow ever runs in its process."""
