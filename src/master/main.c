/*
 * takhin: what the command line asks for.  Each thing it can do is a row of a table; with none of
 * them it serves.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "master/client.h"
#include "master/master.h"
#include "master/options.h"
#include "os/proctitle.h"

#define ANSWER_MS 60000 /* a reload waits for new workers */
#define GONE_MS   120000

#ifdef HAVE_ISAL
#define WITH_ISAL "yes"
#else
#define WITH_ISAL "no"
#endif
#ifdef HAVE_SYSTEMD
#define WITH_SYSTEMD "yes"
#else
#define WITH_SYSTEMD "no"
#endif

/* What a run of the program has in hand. */
struct run {
	const struct tk_options *options;
	struct tk_arena arena;
	struct tk_settings *settings;
};

/* Tells every error, and the warnings unless -q was given; 0 or -errno. */
static int
settings_load(struct run *run)
{
	struct tk_settings_errors errors = { .arena = &run->arena };
	int rc;

	tk_arena_init(&run->arena, TK_MASTER_SETTINGS_BYTES);
	rc = tk_settings_load(&run->arena, &run->options->source, &run->settings, &errors);
	for (const struct tk_settings_error *e = errors.first; e != NULL; e = e->next)
		if (!e->warning || !run->options->quiet)
			(void)fprintf(
			    stderr, "takhin: %s%s\n", e->warning ? "warning: " : "", e->text);
	if (rc < 0 && errors.error_count == 0)
		(void)fprintf(stderr, "takhin: could not read the settings: %s\n", strerror(-rc));
	return rc;
}

static int
run_help(struct run *run)
{
	(void)run;
	tk_options_help();
	return 0;
}

static int
run_version(struct run *run)
{
	(void)run;
	(void)printf("takhin %s\n", PACKAGE_VERSION);
	return 0;
}

static int
run_version_details(struct run *run)
{
	(void)run_version(run);
	(void)printf("compiler: %s\n"
		     "system-wide settings: %s/takhin/takhin.conf\n"
		     "CRC-32C by ISA-L: %s\n"
		     "systemd notices: %s\n"
		     "TLS: no\n",
	    __VERSION__, SYSCONFDIR, WITH_ISAL, WITH_SYSTEMD);
	return 0;
}

static int
run_test(struct run *run)
{
	if (settings_load(run) < 0)
		return 1;
	if (run->options->quiet)
		return 0;
	if (run->settings->file != NULL)
		(void)printf("the settings in %s are good\n", run->settings->file);
	else
		(void)printf("there is no settings file; the defaults are good\n");
	return 0;
}

static int
run_print(struct run *run)
{
	if (settings_load(run) < 0)
		return 1;
	tk_settings_print(run->settings, stdout);
	tk_master_limits_print(run->settings);
	return 0;
}

static const struct order_row {
	const char *name;
	int signo; /* what does the same where the socket does not answer */
	bool ends;
} orders[] = {
	{ "stop", SIGTERM, true },
	{ "quit", SIGQUIT, true },
	{ "reload", SIGHUP, false },
	{ "reopen", SIGUSR1, false },
};

static const struct order_row *
order_find(const char *name)
{
	for (size_t i = 0; i < TK_COUNT_OF(orders); i++)
		if (strcmp(orders[i].name, name) == 0)
			return &orders[i];
	return NULL;
}

/*
 * The signal instead of the socket; 0 or -errno.  Who is to get it the lock says: the pid file may
 * be of one long dead, whose pid has gone to somebody else.
 */
static int
order_signal(const struct run *run, const struct order_row *order, pid_t *ret_pid)
{
	pid_t pid = tk_master_rundir_holder(run->settings->run_directory);

	if (pid <= 1)
		return -ENOENT;
	if (kill(pid, order->signo) < 0)
		return -errno;
	*ret_pid = pid;
	return 0;
}

/* False, after telling stderr, if the broker refused. */
static bool
order_accepted(const json_t *answer)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_true(json_object_get(answer, "ok")))
		return true;
	(void)fprintf(stderr, "takhin: %s\n", error != NULL ? error : "the broker refused");
	return false;
}

static int
order_await_end(pid_t pid)
{
	if (tk_client_wait_gone(pid, GONE_MS) == 0)
		return 0;
	(void)fprintf(stderr, "takhin: process %ld is still stopping\n", (long)pid);
	return 1;
}

static int
run_order(struct run *run)
{
	const struct order_row *order = order_find(run->options->order);
	char path[4096];
	json_t *answer = NULL;
	pid_t pid = 0;
	bool accepted = true;
	int rc;

	if (order == NULL || settings_load(run) < 0)
		return 1;
	(void)snprintf(path, sizeof(path), "%s/" TK_MASTER_SOCKET, run->settings->run_directory);
	rc = tk_client_ask(path, order->name, ANSWER_MS, &answer, &pid);
	if (rc == 0) {
		accepted = order_accepted(answer);
		json_decref(answer);
	} else {
		rc = order_signal(run, order, &pid);
	}
	if (rc < 0) {
		(void)fprintf(
		    stderr, "takhin: no broker runs in \"%s\"\n", run->settings->run_directory);
		return 1;
	}
	if (!accepted)
		return 1;
	return order->ends ? order_await_end(pid) : 0;
}

static int
run_serve(struct run *run)
{
	if (settings_load(run) < 0)
		return 1;
	return tk_master_run(&run->options->source, &run->arena, run->settings);
}

static int
run_chosen(struct run *run)
{
	const struct tk_options *options = run->options;
	const struct {
		bool chosen;
		int (*go)(struct run *run);
	} rows[] = {
		{ options->help, run_help },
		{ options->version_details, run_version_details },
		{ options->version, run_version },
		{ options->print, run_print },
		{ options->test, run_test },
		{ options->order != NULL, run_order },
		{ true, run_serve },
	};

	for (size_t i = 0; i < TK_COUNT_OF(rows); i++)
		if (rows[i].chosen)
			return rows[i].go(run);
	return 1;
}

int
main(int argc, char **argv)
{
	struct tk_options options;
	struct run run = { .options = &options };
	int exit_code;

	tk_proctitle_init(argc, argv);
	if (tk_options_parse(argc, argv, &options) < 0)
		return 2;
	exit_code = run_chosen(&run);
	tk_arena_reset(&run.arena);
	tk_options_free(&options);
	return exit_code;
}
