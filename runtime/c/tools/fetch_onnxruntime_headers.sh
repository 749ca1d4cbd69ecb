#!/bin/sh
# Fetch the C headers of ONNX Runtime into a folder: fetch_onnxruntime_headers.sh OUT
#
# Debian carries them (libonnxruntime-dev) from the release after bookworm on. Only headers are kept; the
# library is loaded when a program runs.
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

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
sh "$(dirname "$0")/unpack_debian_packages.sh" "$unpacked" "$SUITE" "$PACKAGE"
found=$(find "$unpacked" -name "$HEADER" | head -n 1)
[ -n "$found" ] || { echo "$0: $PACKAGE of $SUITE holds no $HEADER" >&2; exit 1; }
mkdir -p "$out/include"
cp "$(dirname "$found")"/*.h "$out/include/"
echo "headers of ONNX Runtime are in $out/include" >&2
