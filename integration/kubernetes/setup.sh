#!/usr/bin/env bash
# Builds the judges of the Kubernetes and Helm stand-ins, once, outside the clone, into $RUNBOOK_CACHE/bin:
#   etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok (plays the nodes), helm
# each with its version in the name, and kubectl and helm under their plain names, too.
# From nothing 8 to 13 minutes on two cores, 484 MB. Safe to call again: what is there already is kept.
# Needs go 1.26. Progress goes to stderr.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${RUNBOOK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/runbook}
bin=$cache/bin
# integration/kubernetes/cluster.py starts these by name.
etcd_version=v3.6.16
kubernetes_version=1.36.3
kwok_version=v0.7.0
helm_version=v3.19.5

say() { printf 'integration/kubernetes: %s\n' "$*" >&2; }

# Builds one program: its name here, the folder of the module that pins it, its package, linker flags.
# Each is a tool of a small module, because `go install PACKAGE@VERSION` refuses modules with replace lines.
build() {
  local program=$bin/$1 module=$here/$2 package=$3 flags=${4:-} began=$SECONDS
  [ -x "$program" ] && return 0
  command -v go >/dev/null 2>&1 || { say "go is not installed; it is needed to build $1. Nothing was changed."; exit 1; }
  say "building $1"
  (cd "$module" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -mod=readonly -trimpath \
    -ldflags "-s -w $flags" -o "$program.part" "$package") >&2
  mv "$program.part" "$program"
  say "built $1 in $((SECONDS - began)) s"
}

build_kubernetes() {
  local flags="" package name minor=${kubernetes_version#1.}
  # What kubectl and the API server say of their version; without it they call themselves v0.0.0-master.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$kubernetes_version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
    flags+=" -X $package.gitTreeState=clean"
  done
  for name in kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    build "$name-$kubernetes_version" kubernetes "k8s.io/kubernetes/cmd/$name" "$flags"
  done
  ln -sfn "kubectl-$kubernetes_version" "$bin/kubectl"
}

mkdir -p "$bin"
# Two of these at once would build the same thing twice.
exec 9>"$cache/.kubernetes-setup.lock"
flock 9
for program in "etcd-$etcd_version" "kwok-$kwok_version" "helm-$helm_version" "kubectl-$kubernetes_version"; do
  [ -x "$bin/$program" ] || { say "building from source what is missing; all of it takes 8 to 13 minutes, once"; break; }
done
build "etcd-$etcd_version" etcd go.etcd.io/etcd/server/v3
build "kwok-$kwok_version" kwok sigs.k8s.io/kwok/cmd/kwok
build "helm-$helm_version" helm helm.sh/helm/v3/cmd/helm "-X helm.sh/helm/v3/internal/version.version=$helm_version"
ln -sfn "helm-$helm_version" "$bin/helm"
build_kubernetes
say "ready in $bin"
