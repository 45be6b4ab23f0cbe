#!/usr/bin/env bash
# Installs Chromium (Debian's) where no Chromium or Chrome is, so that pages can be tried in a real browser.
set -euo pipefail
for program in chromium chromium-browser google-chrome; do
  command -v "$program" >/dev/null && exit 0
done
command -v apt-get >/dev/null || { echo "integration/chromium: no Chromium here, and no apt to install it; nothing was changed." >&2; exit 1; }
echo "integration/chromium: installing chromium" >&2
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
