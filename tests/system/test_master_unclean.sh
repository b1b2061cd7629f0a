#!/bin/sh
# Stops that do not go well: each stage is bounded, a directory is marked as closed cleanly only if
# its writer has said so, and the exit status tells.
. "$(dirname "$0")/master_lib.sh"
free_port
configure "data_directories = [ \"$tmp/a\", \"$tmp/b\" ];" 'shutdown_timeout_ms = "0";'

marked() {
	test -e "$tmp/$1/.kafka_cleanshutdown"
}

start
test "$(children writer | wc -l)" -eq 2 || fail "there are $(children writer | wc -l) writers"
! marked a && ! marked b || fail "marked while it runs"
stop TERM
test $status -eq 0 || fail "exit status $status"
marked a && marked b || fail "not marked after a clean stop"

# A writer dies while the workers are waited for.
start
kill -STOP "$(children 'worker process 0')"
kill -TERM $master
within 5 logged ': stopping$' || fail "SIGTERM is not heard"
kill -KILL "$(children 'writer process 1')"
within 20 is_gone $master || fail "a worker that stands still keeps the broker"
wait $master
status=$?
test $status -eq 1 || fail "exit status $status"
logged 'worker process 0 (pid [0-9]*) takes too long to stop: killing it' || fail "not told"
logged "data directory \"$tmp/b\" was not closed cleanly" || fail "not told which directory"
marked a || fail "the healthy directory is not marked"
! marked b || fail "a directory whose writer died is marked"

# A graceful stop is made fast; a killed worker alone leaves everything clean.
configure "data_directories = [ \"$tmp/a\", \"$tmp/b\" ];" 'shutdown_timeout_ms = "1h";'
start
kill -STOP "$(children 'worker process 1')"
kill -QUIT $master
within 5 logged 'stopping gracefully' || fail "SIGQUIT is not heard"
sleep 0.5
! is_gone $master || fail "a graceful stop does not wait"
kill -INT $master
within 20 is_gone $master || fail "SIGINT does not hasten a graceful stop"
wait $master
status=$?
test $status -eq 0 || fail "exit status $status"
marked a && marked b || fail "not marked"

# Stopped in the middle of a start.
for pause in 0.00 0.01 0.02 0.04 0.08; do
	"$takhin" -p "$dir" >>"$log" 2>&1 </dev/null &
	master=$!
	started="$started $master"
	sleep $pause
	all=$(children)
	kill -TERM $master
	within 10 is_gone $master || fail "stopped $pause s after the start: it goes on"
	for pid in $all; do
		within 2 is_gone $pid || fail "stopped $pause s after the start: $pid is left"
	done
done
start
stop QUIT
test $status -eq 0 || fail "exit status $status"
marked a && marked b || fail "not marked at the end"
