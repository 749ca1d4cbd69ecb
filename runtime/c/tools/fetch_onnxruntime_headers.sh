#!/bin/sh
# Fetch the C headers of ONNX Runtime into a folder: fetch_onnxruntime_headers.sh OUT
#
# Debian carries them (libonnxruntime-dev) from the release after bookworm on. On an older one this asks the
# package source that the machine already has, with the suite's name changed, in a state folder of its own:
# nothing is installed, and the machine's own lists stay as they are. Only headers are unpacked; the library
# is loaded when a program runs.
set -eu

SUITE=${CFACK_DEBIAN_SUITE:-trixie}
PACKAGE=libonnxruntime-dev
HEADER=onnxruntime_c_api.h

[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
if [ -f "$out/include/$HEADER" ]; then
  exit 0
fi
command -v apt-get >/dev/null || {
  echo "$0: apt-get is not here; unpack the headers of an ONNX Runtime release yourself and configure with" \
       "-DONNXRUNTIME_INCLUDE_DIR=FOLDER (the one that holds $HEADER)" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/sources" "$work/unpacked"
: > "$work/status"
: > "$work/sources.list"

# The machine's own release, whose name is replaced; updates and security suites are left out.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$release" ] || { echo "$0: /etc/os-release names no release" >&2; exit 1; }
for source in /etc/apt/sources.list.d/debian.sources; do
  [ -f "$source" ] || continue
  sed -e "/^Suites:/s/.*/Suites: $SUITE/" "$source" | awk -v RS= 'NR == 1' > "$work/sources/debian.sources"
done
if [ -f /etc/apt/sources.list ]; then
  sed -n -e "/^deb .* $release /s/ $release / $SUITE /p" /etc/apt/sources.list > "$work/sources.list"
fi

apt() {
  command="$1"
  shift
  apt-get -qq -o Dir::State="$work" -o Dir::State::lists="$work/lists" -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work" -o Dir::Cache::archives="$work/archives" \
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts="$work/sources" \
    -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null \
    -o APT::Sandbox::User=root -o Acquire::Languages=none "$command" "$@"
}

echo "fetching $PACKAGE of $SUITE" >&2
apt update
(cd "$work" && apt download "$PACKAGE")
dpkg-deb -x "$work"/"$PACKAGE"_*.deb "$work/unpacked"
found=$(find "$work/unpacked" -name "$HEADER" | head -n 1)
[ -n "$found" ] || { echo "$0: $PACKAGE of $SUITE holds no $HEADER" >&2; exit 1; }
mkdir -p "$out/include"
cp "$(dirname "$found")"/*.h "$out/include/"
echo "headers of ONNX Runtime are in $out/include" >&2
