#!/bin/sh
# Fetch what libcfack is built with and this machine lacks into a folder: fetch_libraries.sh OUT
#
# Configure with -DCMAKE_PREFIX_PATH=OUT/usr. Writes nothing where everything is installed. To install instead:
# apt-get install nlohmann-json3-dev libjpeg62-turbo-dev libpng-dev libutf8proc-dev zlib1g-dev
set -eu

[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
for program in cmake c++ pkg-config; do
  command -v "$program" >/dev/null || { echo "$0: $program is not here; install it" >&2; exit 1; }
done
mkdir -p "$1"
out=$(cd "$1" && pwd)
# The libraries that a fetch before this one left there count as here.
PKG_CONFIG_PATH=$(find "$out" -name pkgconfig -type d | paste -s -d :)${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
export PKG_CONFIG_PATH

missing=
add_unless() {
  pkg-config --exists "$1" && return
  shift
  missing="$missing $*"
}
add_unless nlohmann_json nlohmann-json3-dev
add_unless zlib zlib1g-dev zlib1g
add_unless libjpeg libjpeg62-turbo-dev libjpeg62-turbo
add_unless libpng libpng-dev libpng16-16
add_unless libutf8proc libutf8proc-dev libutf8proc2
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
  echo "$0: missing are$missing, by their Debian names, and apt-get is not here; install them yourself" >&2
  exit 1
}
# shellcheck disable=SC2086 # one word for each package
sh "$(dirname "$0")/unpack_debian_packages.sh" "$out" "$(. /etc/os-release && echo "$VERSION_CODENAME")" $missing
find "$out" -name '*.pc' -exec sed -i -e "s|^prefix=/usr|prefix=$out/usr|" {} +
# A compiler looks for the headers of an architecture in the system's own folder only.
for folder in "$out"/usr/include/*-linux-*; do
  if [ -d "$folder" ]; then cp -r "$folder"/. "$out/usr/include/"; fi
done
