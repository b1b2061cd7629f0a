#!/bin/sh
# Installs what the tests need, builds and runs everything there is, on Debian 12:
#
#	sh contrib/check.sh [--full] [STEP...]
#
# One line for each thing that ran, the end of the log below those that failed, and as the last line
# "N passed, N failed, N skipped"; exit 1 if one failed.  All is done in a copy of the checkout in
# build-check, which is made anew, or used again where steps are named.  Steps: see the table at the end.
#
# TAKHIN_REQUIRE_ALL=1: what is skipped has failed, unless a registry cannot be reached at all.
# Fuzzers run for 10 seconds each, for 60 with CI=true or TAKHIN_REQUIRE_ALL=1, for 10 minutes with --full,
# which the tests see as TAKHIN_FULL=1.
#
# Crash tests: 40 of each kind, 300, 10,000 likewise (tests/crash/README.md).
#
# A system test is a shell script tests/system/test_*.sh: it starts in the build directory, which is also
# TAKHIN_BUILD_DIR, finds the source in TAKHIN_SOURCE_DIR, and exits 0 (passed), 77 (skipped, its last line
# says why) or else.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C
top=$(pwd)
self=$top/contrib/check.sh
out=$top/build-check
logs=$out/logs
source=$out/source
passed=0 failed=0 skipped=0
jobs=$(nproc)
fuzz_seconds=10
if test "${CI-}" = true || test "${TAKHIN_REQUIRE_ALL-}" = 1; then
	fuzz_seconds=60
fi

# name			why
packages='
build-essential		the build
autoconf automake	the build
pkg-config python3	the build
libconfig-dev		settings
libjansson-dev		the control socket
libisal-dev		checksums
zlib1g-dev libzstd-dev	compressed records
liblz4-dev libsnappy-dev	compressed records
libsystemd-dev		readiness for systemd
libcunit1-dev		unit tests
clang libclang-rt-14-dev llvm	the second compiler, sanitizers, fuzzers
clang-format mandoc	style
valgrind strace gdb	system tests
procps			system tests
kcat librdkafka-dev	clients
python3-kafka python3-lz4 python3-snappy	clients
'

# row PASS|FAIL|SKIP NAME [REASON]
row() {
	status=$1
	name=$2
	shift 2
	if test "$status" = SKIP && test "${TAKHIN_REQUIRE_ALL-}" = 1; then
		case $* in
		*"registry unreachable: "*) ;;
		*) status=FAIL ;;
		esac
	fi
	case $status in
	PASS) passed=$((passed + 1)) ;;
	FAIL) failed=$((failed + 1)) ;;
	SKIP) skipped=$((skipped + 1)) ;;
	esac
	printf '%s %s %s\n' "$status" "$name" "$*"
}

log_tail() {
	test ! -s "$1" || tail -n "${2-30}" "$1" | sed 's/^/    /'
}

# run NAME LIMIT COMMAND...: one thing, by its exit status.
run() {
	what=$1
	limit=$2
	shift 2
	log=$logs/$(echo "$what" | tr '/ ' '--').log
	start=$(date +%s)
	timeout -k 20 "$limit" "$@" >"$log" 2>&1 </dev/null
	code=$?
	took="($(($(date +%s) - start)) s)"
	case $code in
	0) row PASS "$what" "$took" ;;
	77) row SKIP "$what" "$took $(tail -n 1 "$log" | sed 's/^SKIP: //')" ;;
	124 | 137) row FAIL "$what" "$took not done in $limit s" && log_tail "$log" ;;
	*) row FAIL "$what" "$took exit $code" && log_tail "$log" ;;
	esac
	return "$code"
}

# run_rows NAME LIMIT COMMAND...: one that reports its own tests as lines "PASS name ..." or "PASS: name".
run_rows() {
	what=$1
	limit=$2
	shift 2
	log=$logs/$what.log
	before=$failed
	rm -f "$out/fifo"
	mkfifo "$out/fifo"
	{
		timeout -k 20 "$limit" "$@" 2>&1 </dev/null
		echo "EXIT $?"
	} | tee "$log" >"$out/fifo" &
	while IFS= read -r line; do
		status=${line%%[: ]*}
		rest=${line#*[: ]}
		case $line in
		"PASS"[:\ ]* | "FAIL"[:\ ]* | "SKIP"[:\ ]*) row "$status" "$what ${rest# }" ;;
		"ERROR: "* | "XPASS: "*) row FAIL "$what ${rest# }" ;;
		"    "*) test $failed -eq $before || printf '%s\n' "$line" ;;
		"EXIT "*) code=$rest ;;
		esac
	done <"$out/fifo"
	wait $!
	if test "$code" -ne 0 && test $failed -eq $before; then
		row FAIL "$what" "exit $code"
		log_tail "$log"
	fi
}

installed() {
	dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# What is not there of the table, and of the languages whose tools may have come another way.
missing_packages() {
	for package in $(echo "$packages" | cut -f1); do
		installed "$package" || echo "$package"
	done
	command -v javac >/dev/null || echo openjdk-17-jdk-headless
	command -v mvn >/dev/null || echo maven
	command -v node >/dev/null || echo nodejs
	command -v npm >/dev/null || echo npm
}

apt_get() {
	if test "$(id -u)" -eq 0; then
		env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
	elif command -v sudo >/dev/null; then
		sudo -n true && sudo env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
	else
		echo "run this as root, or install sudo" && false
	fi
}

# The package index is also what the clients' round trips carry, so it is brought up to date in any case.
step_packages() {
	missing=$(missing_packages | tr '\n' ' ')
	echo "apt-get update; to be installed: ${missing:-nothing}"
	if ! apt_get update -o APT::Update::Error-Mode=any >"$logs/apt.log" 2>&1; then
		log_tail "$logs/apt.log" 5
		TAKHIN_UNREACHABLE=Debian
		export TAKHIN_UNREACHABLE
		echo "Debian's archive cannot be reached, or not by this user"
	fi
	if test -z "$missing" || apt_get install -y --no-install-recommends $missing >>"$logs/apt.log" 2>&1; then
		row PASS packages
	else
		row FAIL packages "could not install $missing"
		log_tail "$logs/apt.log"
	fi
}

# build NAME ARGUMENT...: configures and builds in build-check/NAME.
build() {
	folder=$out/$1
	shift
	mkdir -p "$folder"
	cd "$folder" && "$source/configure" --enable-werror "$@" && make -j "$jobs" all &&
		make -j "$jobs" check TESTS=
}

built() {
	test -x "$out/gcc/takhin" && return
	row FAIL "$1" "the broker was not built"
	false
}

# Automake keeps what a failed test said in a file; it belongs on the screen.
make_check() {
	{ make -C "$1" -j "$jobs" check || echo "EXIT $?"; } | while IFS= read -r line; do
		case $line in
		"EXIT "*) exit "${line#EXIT }" ;;
		*) printf '%s\n' "$line" ;;
		esac
		case $line in
		"FAIL: "* | "ERROR: "*) log_tail "$1/${line#*: }.log" ;;
		esac
	done
}

step_gcc() {
	run "gcc autogen.sh" 300 sh "$source/autogen.sh"
	run "gcc build" 900 sh "$self" --as build gcc CC=gcc || return
	run_rows check 900 sh "$self" --as make_check "$out/gcc"
}

step_clang() {
	run "clang build" 900 sh "$self" --as build clang CC=clang --enable-asan --enable-ubsan --enable-fuzz || return
	run_rows asan 1500 sh "$self" --as make_check "$out/clang"
}

programs() {
	find "$1" -maxdepth 1 -type f -perm -u+x -name "$2" | sort
}

# alone NAME LIMIT COMMAND...: one of several at a time; the row and what belongs to it are one write.
alone() {
	what=$1
	limit=$2
	shift 2
	log=$logs/$what.log
	start=$(date +%s)
	timeout -k 20 "$limit" "$@" >"$log" 2>&1 </dev/null
	code=$?
	took="($(($(date +%s) - start)) s)"
	if test $code -eq 0; then
		echo "PASS $what $took"
		return
	fi
	{
		echo "FAIL $what $took exit $code"
		grep -E -A 9 'FAILED|definitely lost|Invalid |uninitialised|ERROR: |runtime error' "$log" >"$log.why"
		head -n 30 "$log.why" | sed 's/^/    /'
		log_tail "$log" 5
	} >"$log.row"
	cat "$log.row"
}

valgrind_one() {
	cd "$out/gcc" && alone "$(basename "$1")" 900 valgrind -q --error-exitcode=9 --leak-check=full \
		--show-leak-kinds=definite --errors-for-leak-kinds=definite --child-silent-after-fork=yes "$1"
}

fuzz_one() {
	corpus=$out/corpus/$(basename "$1")
	mkdir -p "$corpus"
	alone "$(basename "$1")" $((fuzz_seconds + 120)) "$1" -max_total_time="$fuzz_seconds" -timeout=25 \
		-artifact_prefix="$corpus-" "$corpus"
}

# each_of NAME FUNCTION PROGRAM...: as many at a time as there are processors.
each_of() {
	what=$1
	one=$2
	shift 2
	test $# -gt 0 || row FAIL "$what" "nothing was built"
	test $# -eq 0 || run_rows "$what" 3600 sh -c 'printf "%s\\n" "$@" | xargs -P "$0" -n 1 sh '"'$self' --as $one" \
		"$jobs" "$@"
}

step_valgrind() {
	each_of valgrind valgrind_one $(programs "$out/gcc/tests/unit" 'test_*')
}

step_system() {
	built system || return
	for test in "$source"/tests/system/test_*.sh; do
		run "system $(basename "$test" .sh)" 300 sh -c 'cd "$TAKHIN_BUILD_DIR" && exec sh "$1"' - "$test"
	done
}

step_compat() {
	built compat || return
	run_rows compat 1500 sh "$source/tests/compat/run"
}

# A minute each by default; --full: some hours.
step_crash() {
	built crash || return
	limit=900
	test "${TAKHIN_FULL-}" = 1 && limit=40000
	for test in kills powercuts; do
		run "crash $test" $limit /usr/bin/python3 -B "$source/tests/crash/$test.py" --build "$out/gcc"
	done
}

step_fuzz() {
	each_of fuzz fuzz_one $(programs "$out/clang/tests/fuzz" 'fuzz_*')
}

# Python is out of reach for the tarball's build: what it would make is in there.
step_distcheck() {
	built distcheck || return
	run distcheck 1500 make -C "$out/gcc" -j "$jobs" distcheck DISTCHECK_CONFIGURE_FLAGS=PYTHON3=/nonexistent
}

step_quickstart() {
	run quickstart 600 sh "$source/contrib/quickstart.sh" --once --port 19192
}

# Whether it runs; its figures are for a quiet machine (tests/bench/run).
step_bench() {
	built bench || return
	run "bench, one short round" 300 sh "$source/tests/bench/run" 1 16
}

# The checkout as git sees it, without what builds have left in it; a tarball's tree as it is.
copy_source() {
	rm -rf "$out"
	mkdir -p "$logs" "$source"
	if test -e .git; then
		git -c safe.directory="$top" ls-files -co --exclude-standard -z |
			tar c --null -T - --ignore-failed-read | tar x -C "$source"
	else
		tar c --exclude=./build* --exclude=./quickstart-data . | tar x -C "$source"
	fi
}

if test "${1-}" = --as; then
	shift
	"$@"
	exit
fi
if test "${1-}" = --full; then
	fuzz_seconds=600
	TAKHIN_FULL=1
	export TAKHIN_FULL
	shift
fi
TAKHIN_SOURCE_DIR=$source TAKHIN_BUILD_DIR=$out/gcc srcdir=$source
TAKHIN_COMPAT_WORKDIR=$out/compat
export TAKHIN_SOURCE_DIR TAKHIN_BUILD_DIR srcdir TAKHIN_COMPAT_WORKDIR
export fuzz_seconds
test $# -gt 0 && test -d "$source" || copy_source

# In this order; later ones need what earlier ones build.
steps='
packages	what builds and tests need is installed
gcc		a build without warnings, make check
clang		the same with ASan and UBSan
valgrind	the unit tests
system		tests/system
compat		foreign clients: tests/compat
crash		tests/crash: kills and power cuts
fuzz		tests/fuzz
distcheck	make distcheck, the tarball built without Python
quickstart	contrib/quickstart.sh --once
bench		tests/bench, whether it runs
'
started=$(date +%s)
for step in ${*:-$(echo "$steps" | cut -f1)}; do
	echo "== $step: $(echo "$steps" | sed -n "s/^$step	*//p")"
	"step_$step"
done
echo "all of it took $(($(date +%s) - started)) s; logs are in $logs"
echo "$passed passed, $failed failed, $skipped skipped"
test $failed -eq 0
