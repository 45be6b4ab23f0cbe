"""``python -m sandbox.helm history tts --namespace=voice-agent --output=json``: the stand-in program."""

import sys

from sandbox.helm.program import main

sys.exit(main())
