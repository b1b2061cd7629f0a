#!/bin/sh
# Starts and stops: titles, pid file, each signal, what a stop leaves behind, who is refused.
. "$(dirname "$0")/master_lib.sh"
free_port
configure

start
titles=$(ps -o args= --ppid $master | sed 's/ *$//' | sort)
test "$titles" = "takhin: cleaner process
takhin: coordinator process
takhin: worker process 0
takhin: worker process 1
takhin: writer process 0" || fail "other processes: $titles"
test "$(ps -o args= -p $master | sed 's/ *$//')" = "takhin: master process" || fail "master's title"
test "$(cat "$dir/run/takhin.pid")" = $master || fail "pid file"
test "$(stat -c %a "$dir/run")" = 750 || fail "mode of the run directory"
test "$(stat -c %a "$dir/data")" = 750 || fail "mode of the data directory"
test "$(stat -c %a "$dir/run/takhin.sock")" = 660 || fail "mode of the control socket"
test "$(stat -c %a "$dir/run/coordinator.sock")" = 600 || fail "mode of a channel"
listening $port || fail "nobody listens"

# Signals that are for later.
kill -USR2 $master
kill -WINCH $master
within 5 logged 'signal 12 (User defined signal 2) is not supported yet' || fail USR2
within 5 logged 'signal 28 (Window changed) is not supported yet' || fail WINCH

# A child does not take the master's signals for its own, as when Ctrl-C reaches the group.
all=$(children)
for signal in INT QUIT TERM HUP USR1 USR2 WINCH; do
	kill -$signal $all
done
sleep 0.3
test "$(children)" = "$all" || fail "children died of the master's signals"

for signal in TERM INT QUIT; do
	stop $signal
	test $status -eq 0 || fail "exit status $status after SIG$signal"
	test -e "$dir/data/.kafka_cleanshutdown" || fail "SIG$signal left no marker"
	for file in takhin.pid takhin.sock coordinator.sock writer.0.sock; do
		test ! -e "$dir/run/$file" || fail "SIG$signal left $file"
	done
	! listening $port || fail "somebody still listens"
	for pid in $all; do
		is_gone $pid || fail "process $pid survived SIG$signal"
	done
	test $signal = QUIT || start
	test $signal = QUIT || all=$(children)
done

# Who holds the run directory, the data directory, the port?
start
timeout 60 "$takhin" -p "$dir" >"$tmp/err" 2>&1 && fail "a second broker in the same folders"
grep -q "run directory \"$dir/run\" is in use by process $master$" "$tmp/err" ||
	fail "other words: $(cat "$tmp/err")"
first=$port
free_port
timeout 60 "$takhin" -p "$dir" -g "run_directory = \"$tmp/run2\"; listeners = ( { port = $port; } );" \
	>"$tmp/err" 2>&1 && fail "a second broker on the same data"
grep -q "$dir/data" "$tmp/err" || fail "the data directory is not named: $(cat "$tmp/err")"
mkdir "$tmp/third"
timeout 60 "$takhin" -p "$tmp/third" -g "listeners = ( { port = $first; } );" >"$tmp/err" 2>&1 &&
	fail "a second broker on the same port"
grep -q "could not listen on 127.0.0.1:$first: Address already in use by process [0-9]* (takhin)" \
	"$tmp/err" || fail "other words: $(cat "$tmp/err")"
test "$(grep -c error "$tmp/err")" -eq 1 || fail "more than one line: $(cat "$tmp/err")"
test "$(ps -o pid= --ppid $master | wc -l)" -eq 5 || fail "the first broker was hurt"
port=$first
stop TERM

# One on its way out is waited for.
start
one=$master
kill -TERM $one
start
wait $one || fail "the first one did not end well"
stop TERM

# In the background: back when it serves, or with a failure.
configure 'daemon = true;' "error_log = \"$tmp/daemon.log\";"
"$takhin" -p "$dir" </dev/null >"$tmp/err" 2>&1 || fail "daemon: $(cat "$tmp/err")"
master=$(cat "$dir/run/takhin.pid") || fail "daemon: no pid file"
started="$started $master"
listening $port || fail "daemon: back before it serves"
test "$(ps -o sid= -p $master | tr -d ' ')" = $master || fail "daemon: no session of its own"
mkdir "$tmp/fourth"
"$takhin" -p "$tmp/fourth" -g "daemon = true; error_log = \"log\";
	listeners = ( { port = $port; } );" </dev/null >"$tmp/err" 2>&1 &&
	fail "daemon: success without a port"
grep -q "could not listen on 127.0.0.1:$port" "$tmp/err" || fail "daemon: $(cat "$tmp/err")"
"$takhin" -p "$dir" -s stop || fail "daemon: does not stop"
is_gone $master || fail "daemon: still there"
grep -q 'stopped$' "$tmp/daemon.log" || fail "daemon: log"

# IPv6 beside IPv4 on the same port.
if test -e /proc/net/if_inet6 && grep -q ' lo$' /proc/net/if_inet6; then
	configure
	start -g "listeners = ( { name = \"A\"; port = $port; },
		{ name = \"B\"; bind = \"[::1]\"; port = $port; } );"
	stop TERM
	test $status -eq 0 || fail "IPv6: exit status $status"
fi
