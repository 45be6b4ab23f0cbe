"""How flows get started and watched: command line, server, worker, dispatcher."""
