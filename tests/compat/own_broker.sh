# A Takhin of the test's own, for tests that look at its files; sourced after lib.sh.
#
#	own_start FOLDER [SETTING...]	sets $bootstrap, and $data to its data directory
#	own_stop SIGNAL
#
# The broker that the test was given is left alone.  TAKHIN_BUILD_DIR is where takhin was built.
. "$compat/../system/lib.sh"
trap 'own_exit=$?; made_topics=; cleanup; (exit $own_exit); tk_cleanup' EXIT
test -x "$tk_takhin" || skip "takhin was not built in \"$tk_build\""

own_start() {
	tk_start "$@"
	bootstrap=$tk_bootstrap
	data=$1/data
	own_folder=$1
}

own_stop() {
	tk_stop "$own_folder" "$1"
	case $1:$tk_status in
	TERM:0 | KILL:137) ;;
	*) fail "exit status $tk_status after SIG$1" ;;
	esac
}
