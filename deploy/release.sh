#!/usr/bin/env bash
# Makes the archives of a release, dist/peer_VERSION_OS_ARCH.tar.gz and SHA256SUMS:
#
#     deploy/release.sh [VERSION]
#
# VERSION is by default the tag of the commit, or else its date and hash. PLATFORMS names
# others than the usual ones, DIST another directory. The same commit and Go make the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

revision=$(git rev-parse --short=12 HEAD)
epoch=$(git log -1 --format=%ct)
version=${1:-$(git describe --tags --exact-match 2>/dev/null || echo "v0.0.0-$(date -u -d "@$epoch" +%Y%m%d%H%M%S)-$revision")}
case $version in *[!A-Za-z0-9._+-]*) echo "release: a version has letters, digits and . _ + - only: $version" >&2; exit 2 ;; esac
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "release: there are changes that are not committed: they go in, and nobody can make the same bytes again" >&2
tar --version 2>/dev/null | grep -q GNU || { echo "release: this needs GNU tar, for archives that are the same each time" >&2; exit 1; }

dist=${DIST:-dist}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CGO_ENABLED=0 TZ=UTC LC_ALL=C
build() { go build -trimpath -ldflags "-s -w -X peer/cmd.release=$version" -o "$@" .; }

# What every platform gets, written by the program of this one.
build "$work/peer"
mkdir -p "$work/common/completions" "$work/common/docs" "$dist"
"$work/peer" man --dir "$work/common/man/man1"
for shell in bash zsh fish; do "$work/peer" completion "$shell" >"$work/common/completions/peer.$shell"; done
cp README.md CHANGELOG.md ARCHITECTURE.md LICENSE deploy/peer.service "$work/common/"
cp docs/*.md "$work/common/docs/"

made=()
for platform in ${PLATFORMS:-linux/amd64 linux/arm64}; do
	name=peer_${version}_${platform/\//_}
	cp -R "$work/common" "$work/$name"
	GOOS=${platform%/*} GOARCH=${platform#*/} build "$work/$name/peer"
	chmod -R u=rwX,go=rX "$work/$name"
	tar -C "$work" --format=ustar --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$work/$name.tar.gz"
	mv "$work/$name.tar.gz" "$dist/"
	made+=("$name.tar.gz")
done
cd "$dist" && sha256sum "${made[@]}" | tee SHA256SUMS
