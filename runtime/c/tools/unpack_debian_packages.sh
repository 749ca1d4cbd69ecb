#!/bin/sh
# Unpack Debian packages into a folder, without installing them: unpack_debian_packages.sh OUT SUITE PACKAGE...
#
# Asks the package source that the machine already has, with the suite's name changed to SUITE, in a state
# folder of its own: no right is needed, and the machine's own lists stay as they are.
set -eu

[ $# -ge 3 ] || { echo "usage: $0 OUT SUITE PACKAGE..." >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
suite=$2
shift 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/sources"
: > "$work/status"
: > "$work/sources.list"

# The machine's own release, whose name is replaced; updates and security suites are left out.
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$release" ] || { echo "$0: /etc/os-release names no release" >&2; exit 1; }
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
  sed -e "/^Suites:/s/.*/Suites: $suite/" /etc/apt/sources.list.d/debian.sources | awk -v RS= 'NR == 1' \
    > "$work/sources/debian.sources"
fi
if [ -f /etc/apt/sources.list ]; then
  sed -n -e "/^deb .* $release /s/ $release / $suite /p" /etc/apt/sources.list > "$work/sources.list"
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

echo "fetching $* of Debian $suite" >&2
apt update
(cd "$work" && apt download "$@")
for package in "$work"/*.deb; do
  dpkg-deb -x "$package" "$out"
done
