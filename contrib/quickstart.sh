#!/bin/sh
# From a clone to a running broker: installs what the build needs, builds, starts a broker in the
# foreground, and shows a round trip with kcat.
#
#	sh contrib/quickstart.sh [--once] [--port N]
#
# --once stops the broker after the round trip.  Nothing is touched but Debian's packages (named before
# they are installed) and two folders of this checkout: build-quickstart and quickstart-data.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
build=$top/build-quickstart
data=$top/quickstart-data
packages="build-essential autoconf automake pkg-config python3 libconfig-dev libjansson-dev
	libisal-dev zlib1g-dev libzstd-dev liblz4-dev libsnappy-dev libsystemd-dev kcat"
port=9092
once=no
broker=

usage() {
	echo "usage: sh contrib/quickstart.sh [--once] [--port N]" >&2
	exit 2
}

while test $# -gt 0; do
	case $1 in
	--once) once=yes ;;
	--port)
		shift
		port=${1-}
		;;
	--port=*) port=${1#--port=} ;;
	*) usage ;;
	esac
	shift
done
case $port in
'' | *[!0-9]*) usage ;;
esac

say() {
	printf '\n== %s\n' "$*"
}

# Shows a command, then runs it.
show() {
	printf '$ %s\n' "$1"
	sh -c "$1"
}

stop() {
	trap - EXIT HUP INT TERM
	if test -n "$broker"; then
		kill -TERM "$broker" 2>/dev/null || true
		wait "$broker" || true
	fi
}

missing() {
	for package in $packages; do
		dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || printf ' %s' "$package"
	done
}

install_packages() {
	wanted=$(missing)
	test -n "$wanted" || return 0
	say "installing Debian packages:$wanted"
	sudo=
	if test "$(id -u)" -ne 0; then
		command -v sudo >/dev/null || { echo "not root, and there is no sudo: install them by hand" && exit 1; }
		sudo=sudo
	fi
	$sudo apt-get update -q
	# shellcheck disable=SC2086
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted
}

build_broker() {
	say "building in $build"
	test -x "$top/configure" || (cd "$top" && sh autogen.sh)
	mkdir -p "$build"
	cd "$build"
	test -f Makefile || "$top/configure" --prefix="$build/installed"
	make -j "$(nproc)" all
	cd "$top"
}

port_is_taken() {
	awk -v port="$(printf ':%04X' "$port")" '
		$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
		END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

start_broker() {
	if port_is_taken; then
		echo "port $port is taken: say another with --port N" >&2
		exit 1
	fi
	mkdir -p "$data"
	say "starting the broker, data in $data"
	echo "\$ takhin -p $data -g 'listeners = ({ port = $port; });'"
	"$build/takhin" -p "$data" -g "listeners = ({ port = $port; });" &
	broker=$!
	trap stop EXIT
	trap 'exit 1' HUP TERM
	trap 'exit 130' INT
	tries=0
	until port_is_taken; do
		kill -0 "$broker" 2>/dev/null || { echo "the broker did not start" >&2 && exit 1; }
		tries=$((tries + 1))
		test $tries -lt 200 || { echo "the broker does not listen" >&2 && exit 1; }
		sleep 0.05
	done
}

round_trip() {
	topic=quickstart-$(date +%s)
	say "producing three records, and reading them back"
	show "printf 'one\ntwo\nthree\n' | kcat -b 127.0.0.1:$port -P -t $topic"
	show "kcat -b 127.0.0.1:$port -C -t $topic -o beginning -e -q" | tee "$data/round-trip"
	printf '$ kcat -b 127.0.0.1:%s -C -t %s -o beginning -e -q\none\ntwo\nthree\n' "$port" "$topic" |
		cmp -s - "$data/round-trip" || { echo "what was read is not what was produced" >&2 && exit 1; }
	show "$build/takhinctl -p $data status | head -n 14"
}

install_packages
build_broker
start_broker
round_trip
if test $once = yes; then
	say "done: stopping the broker"
	stop
	exit 0
fi
say "the broker runs on 127.0.0.1:$port; Ctrl-C ends it"
wait "$broker"
