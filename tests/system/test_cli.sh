#!/bin/sh
# The command line of takhin and takhinctl: what is printed, where, and the exit status.
. "$(dirname "$0")/master_lib.sh"
free_port
configure

# run STATUS COMMAND...: into $tmp/out and $tmp/err.
run() {
	want=$1
	shift
	"$@" >"$tmp/out" 2>"$tmp/err"
	got=$?
	test $got -eq "$want" || fail "$*: exit status $got, not $want: $(cat "$tmp/out" "$tmp/err")"
}

out_has() {
	grep -q -- "$1" "$tmp/out" || fail "\"$1\" is not in: $(cat "$tmp/out")"
}

err_has() {
	grep -q -- "$1" "$tmp/err" || fail "\"$1\" is not in: $(cat "$tmp/err")"
}

run 0 "$takhin" -v
out_has '^takhin [0-9]*\.[0-9]*\.[0-9]*$'
run 0 "$takhin" -V
out_has '^takhin [0-9]'
out_has '^CRC-32C by ISA-L: '
run 0 "$takhin" -h
for letter in c g h p q s t T v V; do
	out_has "^  -$letter "
done
run 2 "$takhin" -x
err_has 'takhin -h'
run 2 "$takhin" -p "$dir" serve
err_has 'unknown argument "serve"'
run 2 "$takhin" -p "$dir" -s restart
err_has '"restart" is not an order'

# Checking.
run 0 "$takhin" -p "$dir" -t
out_has "^the settings in $dir/takhin.conf are good$"
run 0 "$takhin" -q -p "$dir" -t
test ! -s "$tmp/out" -a ! -s "$tmp/err" || fail "-q is not quiet"
run 0 "$takhin" -c "$dir/takhin.conf" -t
out_has "are good"
mkdir "$tmp/empty"
run 0 "$takhin" -p "$tmp/empty" -t
out_has 'the defaults are good'
printf 'num_partitions = 3;\n\nnum_partitons = 3;\n' >"$tmp/bad.conf"
run 1 "$takhin" -c "$tmp/bad.conf" -t
err_has "bad.conf:3: "
run 1 "$takhin" -c "$tmp/bad.conf" -t -q
err_has "bad.conf:3: "
printf 'num_partitions = 0;\nnode_id = "x";\n' >"$tmp/bad.conf"
run 1 "$takhin" -c "$tmp/bad.conf" -t
err_has "bad.conf:1: "
err_has "bad.conf:2: "
run 1 "$takhin" -c "$tmp/bad.conf"
err_has "bad.conf:1: "
run 1 "$takhin" -c "$tmp/none.conf" -t
err_has none.conf
run 1 "$takhin" -p "$tmp/none" -t
run 1 "$takhin" -p "$dir" -g 'nonsense = 1;' -t
err_has nonsense

# Printing: all of it, and what was printed reads again.
run 0 "$takhin" -p "$dir" -g 'num_partitions = 7;' -T
out_has '^num_partitions = 7;'
out_has "^worker_processes = 2; # $dir/takhin.conf:2"
out_has '^log_retention_ms = "7d"; # default'
out_has '^# a worker  *[0-9]'
cp "$tmp/out" "$tmp/printed.conf"
run 0 "$takhin" -c "$tmp/printed.conf" -t
run 1 "$takhin" -c "$tmp/bad.conf" -T
err_has "bad.conf:1: "

# Orders without a broker.
for order in stop quit reload reopen; do
	run 1 "$takhin" -p "$dir" -s $order
	err_has "no broker runs in \"$dir/run\""
	run 1 "$takhinctl" -p "$dir" $order
	err_has "could not ask the broker at \"$dir/run/takhin.sock\""
done
run 2 "$takhinctl"
run 2 "$takhinctl" -p "$dir" dance
err_has 'unknown command "dance"'
run 2 "$takhinctl" -p "$dir" status twice
run 2 "$takhinctl" -y
run 0 "$takhinctl" --help
out_has '^usage: takhinctl'

# Orders with one, by folder, by file and by socket.
start
run 0 "$takhinctl" -p "$dir" status
out_has '^takhin .*, running for '
out_has '^worker 1  *[0-9]*  ready '
out_has '^sendfile_bytes  *0  bytes sent from the page cache'
run 0 "$takhinctl" -c "$dir/takhin.conf" -p "$dir" status --json
out_has '"ok": true'
run 0 "$takhinctl" -s "$dir/run/takhin.sock" version
out_has "^takhin .*, process $master$"
run 0 "$takhin" -p "$dir" -s reopen
run 0 "$takhinctl" -p "$dir" reopen
run 0 "$takhin" -p "$dir" -s reload
run 0 "$takhinctl" -p "$dir" reload
out_has 'settings generation 3 is in force'
run 0 "$takhin" -p "$dir" -s quit
is_gone $master || fail "-s quit did not wait for the end"
start
run 0 "$takhinctl" -p "$dir" stop
is_gone $master || fail "takhinctl stop did not wait for the end"

# A socket that does not answer: the signal by the pid file does.
start
rm "$dir/run/takhin.sock"
run 0 "$takhin" -p "$dir" -s stop
is_gone $master || fail "-s stop by signal did not wait for the end"
