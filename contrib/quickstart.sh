#!/bin/sh
# Builds Takhin and shows it at work, on Debian 12:
#
#	sh contrib/quickstart.sh [--once] [--port N]
#
# It installs what the build needs and is missing (it says what first), builds in build-quickstart,
# starts a broker on 127.0.0.1 whose data is in quickstart-data, sends a few records through it with kcat
# and leaves it in the foreground until Ctrl-C.  --once: end it after the round trip, exit 0.  --port N:
# another port than 9092.  Nothing outside this folder is touched but by apt-get.
set -eu
cd "$(dirname "$0")/.."
packages="build-essential autoconf automake pkg-config python3 libconfig-dev libjansson-dev libisal-dev
	zlib1g-dev libzstd-dev liblz4-dev libsnappy-dev kcat"
build=build-quickstart
data=quickstart-data
port=9092
once=false
broker=

say() {
	printf '\n== %s\n' "$*"
}

show() {
	printf '+ %s\n' "$*"
}

die() {
	echo "quickstart: $*" >&2
	exit 1
}

while test $# -gt 0; do
	case $1 in
	--once) once=true ;;
	--port)
		port=${2-}
		shift
		;;
	*) die "usage: sh contrib/quickstart.sh [--once] [--port N]" ;;
	esac
	test $# -eq 0 || shift
done
case $port in
'' | *[!0-9]*) die "--port needs a number" ;;
esac

listening() {
	awk -v port="$(printf ':%04X' "$port")" '
		$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
		END { exit !found }' /proc/net/tcp /proc/net/tcp6 2>/dev/null
}

install_packages() {
	missing=
	for package in $packages; do
		dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
			missing="$missing $package"
	done
	test -n "$missing" || return 0
	command -v apt-get >/dev/null || die "not Debian: install what these packages hold there:$missing"
	say "Installing with apt-get:$missing"
	sudo=
	test "$(id -u)" -eq 0 || sudo=sudo
	test -z "$sudo" || command -v sudo >/dev/null || die "run this as root, or install sudo"
	$sudo apt-get update -qq
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# logged WHAT COMMAND...: the command's output goes to a file that is shown if it fails.
logged() {
	what=$1
	shift
	show "$@"
	"$@" >>"$build/log" 2>&1 || {
		tail -n 30 "$build/log"
		die "$what failed; all of it is in $build/log"
	}
}

build_broker() {
	say "Building in $build"
	mkdir -p "$build"
	: >"$build/log"
	# A release tarball comes with configure, a clone makes it.
	test ! -e .git && test -x configure || logged autogen.sh sh autogen.sh
	logged configure sh -c "cd $build && ../configure"
	logged make make -C "$build" -j "$(nproc)" takhin takhinctl
}

ready() {
	tail -n +"$((lines + 1))" "$data/log" | grep -q ': ready$'
}

start_broker() {
	say "Starting the broker on 127.0.0.1:$port, its data in $data"
	mkdir -p "$data"
	echo "listeners = ( { name = \"PLAINTEXT\"; bind = \"127.0.0.1\"; port = $port; } );" >"$data/takhin.conf"
	touch "$data/log"
	lines=$(wc -l <"$data/log")
	show "$build/takhin -p $data"
	"$build/takhin" -p "$data" >>"$data/log" 2>&1 </dev/null &
	broker=$!
	tries=0
	until ready; do
		tries=$((tries + 1))
		if test $tries -gt 200 || ! kill -0 $broker 2>/dev/null; then
			tail -n +"$((lines + 1))" "$data/log"
			die "the broker did not start"
		fi
		sleep 0.1
	done
	tail -n +"$((lines + 1))" "$data/log"
}

# Ends the broker if it is there; its own exit status is returned.
stop_broker() {
	test -n "$broker" || return 0
	stopping=$broker
	broker=
	kill -TERM "$stopping" 2>/dev/null || true
	wait "$stopping"
}

round_trip() {
	topic=quickstart-$(date +%H%M%S)
	say "Three records in"
	show "printf 'one\\ntwo\\nthree\\n' | kcat -b 127.0.0.1:$port -P -t $topic"
	printf 'one\ntwo\nthree\n' | kcat -b "127.0.0.1:$port" -P -t "$topic"
	say "and out again"
	show "kcat -b 127.0.0.1:$port -C -t $topic -o beginning -e -q -f '%o: %s\\n'"
	kcat -b "127.0.0.1:$port" -C -t "$topic" -o beginning -e -q -f '%o: %s\n' >"$data/records"
	cat "$data/records"
	printf '0: one\n1: two\n2: three\n' | cmp -s - "$data/records" || die "these are not the records that went in"
}

install_packages
if listening; then
	die "port $port is taken on this machine: choose another with --port N, such as --port 19092"
fi
trap 'stop_broker || true' EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
build_broker
start_broker
round_trip

if $once; then
	stop_broker || die "the broker did not end well: $(tail -n 3 "$data/log")"
	say "The broker has stopped; its data is in $data"
	exit 0
fi
say "The broker is yours at 127.0.0.1:$port; its log is $data/log; Ctrl-C ends it"
trap 'stop_broker; exit' INT
trap 'stop_broker; exit' HUP TERM
wait "$broker"
