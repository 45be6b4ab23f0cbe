#!/usr/bin/env bash
# Fetches and builds the judges of the GitHub stand-in, once, outside the clone:
#   $RUNBOOK_CACHE/octokit-openapi/api.github.com.json   GitHub's published OpenAPI description
#   $RUNBOOK_CACHE/octokit-webhooks-examples/examples.json   payloads of its webhooks
#   $RUNBOOK_CACHE/bin/gh                                GitHub's own command line program
# Safe to call again: what is there already is kept. Needs npm and go 1.26. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RUNBOOK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runbook}
openapi_version=23.0.2
webhooks_version=7.6.1
gh_version=v2.83.0

say() { printf 'integration/github: %s\n' "$*" >&2; }
need() {
  command -v "$1" >/dev/null 2>&1 || { say "$1 is not installed; it is needed to get $2. Nothing was changed."; exit 1; }
}

# Fetches one file of an npm package into the cache: package, version, its folder there, the file in it, its name here.
fetch_file() {
  local package=$1 version=$2 target=$cache/$3
  [ "$(cat "$target/version" 2>/dev/null)" = "$version" ] && return 0
  need npm "GitHub's descriptions"
  say "fetching $package $version"
  rm -rf "$target.part"; mkdir -p "$target.part"
  npm install --prefix "$target.part" --ignore-scripts --no-save --no-audit --no-fund --loglevel=error \
    "$package@$version" >&2
  rm -rf "$target"; mkdir -p "$target"
  # One file of the package's many is read; the rest (other servers' versions) is not kept.
  mv "$target.part/node_modules/$package/$4" "$target/$5"
  printf '%s\n' "$version" > "$target/version"
  rm -rf "$target.part"
}

build_gh() {
  local program=$cache/bin/gh-$gh_version
  if [ ! -x "$program" ]; then
    need go "gh $gh_version"
    say "building gh $gh_version (a few minutes, once)"
    mkdir -p "$cache/bin"
    # `go install PACKAGE@VERSION` is refused for gh, so it is built as a tool of a small module; gh/go.sum pins it.
    (cd "$here/gh" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -mod=readonly -trimpath \
      -ldflags "-s -w -X github.com/cli/cli/v2/internal/build.Version=${gh_version#v}" \
      -o "$program.part" github.com/cli/cli/v2/cmd/gh) >&2
    mv "$program.part" "$program"
  fi
  ln -sfn "gh-$gh_version" "$cache/bin/gh"
}

mkdir -p "$cache"
# Two of these at once would build the same thing twice.
exec 9>"$cache/.github-setup.lock"
flock 9
fetch_file @octokit/openapi "$openapi_version" octokit-openapi generated/api.github.com.json api.github.com.json
fetch_file @octokit/webhooks-examples "$webhooks_version" octokit-webhooks-examples \
  api.github.com/index.json examples.json
build_gh
say "ready in $cache"
