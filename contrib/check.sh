#!/bin/sh
# Everything that can be checked, on Debian 12: sh contrib/check.sh [--full] [STEP...]
#
# Installs what the tests need (named first), builds out of tree in build-check, and runs the steps
# below, or those named.  --full runs soaks and fuzzers at their stated length.  The last line counts;
# the exit status is 0 if nothing failed.  With TAKHIN_REQUIRE_ALL=1 a foreign client may be skipped
# only when its registry cannot be reached.
set -u
export LC_ALL=C

steps="install gcc sanitizers valgrind system compat fuzz distcheck bench"
top=$(cd "$(dirname "$0")/.." && pwd)
self=$top/contrib/check.sh
work=$top/build-check
logs=$work/logs
fuzz_seconds=10
case ${CI-}${TAKHIN_REQUIRE_ALL-} in
?*) fuzz_seconds=60 ;;
esac
packages="build-essential autoconf automake pkg-config python3 libconfig-dev libjansson-dev libisal-dev
	zlib1g-dev libzstd-dev liblz4-dev libsnappy-dev libsystemd-dev libcunit1-dev
	clang clang-format libclang-rt-14-dev llvm mandoc valgrind strace gdb iproute2 lsof procps
	kcat librdkafka-dev python3-kafka python3-lz4 python3-snappy python3-zstandard"
passed=0 failed=0 skipped=0

pass() {
	passed=$((passed + 1))
	echo "PASS $*"
}

# flunk NAME LOG [REASON]
flunk() {
	failed=$((failed + 1))
	echo "FAIL $1 ${3-}"
	tail -n 25 "$2" 2>/dev/null | sed 's/^/    /'
}

skip() {
	skipped=$((skipped + 1))
	echo "SKIP $*"
}

# run NAME SECONDS COMMAND...: one check; its output goes to a log, 77 is a skip.
run() {
	name=$1
	limit=$2
	shift 2
	log=$logs/$(echo "$name" | tr ' /' '__').log
	began=$(date +%s)
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	took=$(($(date +%s) - began))
	case $status in
	0) pass "$name ($took s)" ;;
	77) skip "$name: $(tail -n 1 "$log" | cut -c1-200)" ;;
	124) flunk "$name" "$log" "(no end after $limit s)" ;;
	*) flunk "$name" "$log" "(exit $status, $took s)" ;;
	esac
	return $status
}

# counted PREFIX LOG: takes over the lines of automake's tests or of tests/compat/run.
counted() {
	while read -r verdict rest; do
		case $verdict in
		PASS | PASS:) pass "$1 $rest" ;;
		FAIL | FAIL: | ERROR: | XPASS:) flunk "$1 $rest" /dev/null ;;
		SKIP | SKIP:) skip "$1 $rest" ;;
		esac
	done <<-EOF
		$(grep -E '^(PASS|FAIL|SKIP|ERROR|XPASS):? ' "$2")
	EOF
}

# build FOLDER [CONFIGURE OPTION...]
build() {
	test -x "$top/configure" || (cd "$top" && sh autogen.sh) || return 1
	mkdir -p "$work/$1" && cd "$work/$1" || return 1
	shift
	"$top/configure" "$@" && make -j "$(nproc)"
}

step_install() {
	wanted=
	for package in $packages; do
		dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || wanted="$wanted $package"
	done
	command -v java >/dev/null && command -v javac >/dev/null || wanted="$wanted openjdk-17-jdk-headless"
	command -v mvn >/dev/null || wanted="$wanted maven"
	command -v npm >/dev/null || wanted="$wanted nodejs npm"
	sudo=
	test "$(id -u)" -eq 0 || sudo=sudo
	if test -n "$wanted"; then
		echo "installing Debian packages:$wanted"
		run "apt-get update" 300 $sudo apt-get update
		# shellcheck disable=SC2086
		run "apt-get install" 900 $sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y --no-install-recommends $wanted
	elif test -z "$(find /var/lib/apt/lists -name '*Packages*' -print -quit)"; then
		run "apt-get update" 300 $sudo apt-get update
	fi
}

step_gcc() {
	run "build with gcc -Werror" 900 sh "$self" --build gcc --enable-werror || return
	cd "$work/gcc" || return
	timeout 900 make -j "$(nproc)" check >"$logs/check-gcc.log" 2>&1
	counted gcc "$logs/check-gcc.log"
}

step_sanitizers() {
	run "build with clang -Werror, ASan, UBSan" 900 sh "$self" --build clang CC=clang --enable-werror \
		--enable-asan --enable-ubsan || return
	cd "$work/clang" || return
	timeout 1200 make -j "$(nproc)" check TESTS='$(UNIT_TESTS)' >"$logs/check-clang.log" 2>&1
	counted "clang+asan+ubsan" "$logs/check-clang.log"
}

step_valgrind() {
	cd "$work/gcc" || return
	for program in "$work"/gcc/tests/unit/test_*; do
		case $program in
		*.log | *.trs | *.o) continue ;;
		esac
		run "valgrind $(basename "$program")" 600 env TAKHIN_SOURCE_DIR="$top" srcdir="$top" \
			valgrind -q --error-exitcode=9 --leak-check=full \
			--errors-for-leak-kinds=definite --child-silent-after-fork=yes "$program"
	done
}

step_system() {
	for script in "$top"/tests/system/test_*.sh; do
		cd "$work/gcc" || return
		TAKHIN_BUILD_DIR=$work/gcc TAKHIN_SOURCE_DIR=$top \
			run "system $(basename "$script" .sh)" 420 sh "$script"
	done
}

step_compat() {
	cd "$work/gcc" || return
	TAKHIN_BUILD_DIR=$work/gcc TAKHIN_COMPAT_WORKDIR=$work/compat timeout 1800 \
		sh "$top/tests/compat/run" >"$logs/compat.log" 2>&1
	status=$?
	counted compat "$logs/compat.log"
	grep -q '^compat: ' "$logs/compat.log" || flunk "compat" "$logs/compat.log" "(exit $status)"
}

step_fuzz() {
	run "build with clang, libFuzzer" 900 sh "$self" --build fuzz CC=clang --enable-fuzz --enable-asan \
		--enable-ubsan || return
	for target in frames decoders batches; do
		mkdir -p "$work/corpus/$target"
		run "fuzz $target, $fuzz_seconds s" $((fuzz_seconds + 120)) \
			"$work/fuzz/tests/fuzz/fuzz_$target" -max_total_time=$fuzz_seconds \
			-artifact_prefix="$logs/" "$work/corpus/$target"
	done
}

step_distcheck() {
	cd "$work/gcc" || return
	run "make distcheck" 1500 make distcheck
}

step_bench() {
	TAKHIN_BUILD_DIR=$work/gcc run "bench (that it runs)" 300 sh "$top/tests/bench/run" 1 64
	sed -n 's/^\(.*medians.*\)/    \1/p' "$logs/bench_(that_it_runs).log" 2>/dev/null
}

if test "${1-}" = --build; then
	shift
	build "$@"
	exit
fi
if test "${1-}" = --full; then
	fuzz_seconds=3600
	TAKHIN_FULL=1
	export TAKHIN_FULL
	shift
fi
mkdir -p "$logs"
for step in ${*:-$steps}; do
	echo "== $step"
	step_"$step"
done
echo "$passed passed, $failed failed, $skipped skipped"
test $failed -eq 0
