/*
 * takhinctl: asks a running broker by its control socket.  One command a run.
 *
 * Commands are a table.  Exits 0 if the broker did it, 1 if it refused or could not be asked, 2 for
 * a command line that makes no sense.
 */
#include "tools/takhinctl.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"
#include "master/client.h"

#define SOCKET_NAME    "takhin.sock"
#define PATH_BYTES     4096
#define SETTINGS_BYTES ((size_t)16 << 20)
#define ANSWER_MS      5000
#define RELOAD_MS      60000 /* new workers have to be ready */
#define GONE_MS        120000

struct ask {
	const char *prefix, *file, *socket;
	bool json;
};

static int
usage(FILE *out)
{
	(void)fprintf(out, "usage: takhinctl [-c FILE | -p DIR | -s SOCKET] COMMAND\n\n"
			   "  status [--json]  what the broker and its processes do\n"
			   "  stop             stop fast\n"
			   "  quit             finish what is under way, then stop\n"
			   "  reload           read the settings again\n"
			   "  reopen           reopen the error log\n"
			   "  version          the version of takhinctl and of the broker\n");
	return out == stderr ? 2 : 0;
}

/* The socket of the broker with these settings; where they cannot be read, of -p DIR as such. */
static void
socket_path(const struct ask *ask, char *path, size_t room)
{
	struct tk_settings_source source = { .file = ask->file, .prefix = ask->prefix };
	struct tk_settings_errors errors = { .arena = NULL };
	struct tk_settings *settings;
	struct tk_arena arena;

	if (ask->socket != NULL) {
		(void)snprintf(path, room, "%s", ask->socket);
		return;
	}
	tk_arena_init(&arena, SETTINGS_BYTES);
	if (tk_settings_load(&arena, &source, &settings, &errors) == 0)
		(void)snprintf(path, room, "%s/" SOCKET_NAME, settings->run_directory);
	else if (ask->prefix != NULL)
		(void)snprintf(path, room, "%s/run/" SOCKET_NAME, ask->prefix);
	else
		(void)snprintf(path, room, RUNSTATEDIR "/takhin/" SOCKET_NAME);
	tk_arena_reset(&arena);
}

/* Asks; NULL, after telling stderr, if the broker cannot be asked or refuses. */
static json_t *
ask_broker(const struct ask *ask, const char *command, int64_t timeout_ms, pid_t *ret_pid)
{
	char path[PATH_BYTES];
	json_t *answer = NULL;
	const char *error;
	int rc;

	socket_path(ask, path, sizeof(path));
	rc = tk_client_ask(path, command, timeout_ms, &answer, ret_pid);
	if (rc < 0) {
		(void)fprintf(stderr, "takhinctl: could not ask the broker at \"%s\": %s\n", path,
		    strerror(-rc));
		return NULL;
	}
	if (json_is_true(json_object_get(answer, "ok")))
		return answer;
	error = json_string_value(json_object_get(answer, "error"));
	(void)fprintf(stderr, "takhinctl: %s\n", error != NULL ? error : "the broker refused");
	json_decref(answer);
	return NULL;
}

static int
run_status(const struct ask *ask)
{
	pid_t pid;
	json_t *answer = ask_broker(ask, "status", ANSWER_MS, &pid);

	if (answer == NULL)
		return 1;
	if (ask->json) {
		(void)json_dumpf(answer, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	} else {
		takhinctl_print_status(answer, stdout);
	}
	json_decref(answer);
	return 0;
}

static int
run_end(const struct ask *ask, const char *command)
{
	pid_t pid;
	json_t *answer = ask_broker(ask, command, ANSWER_MS, &pid);

	if (answer == NULL)
		return 1;
	json_decref(answer);
	if (tk_client_wait_gone(pid, GONE_MS) == 0)
		return 0;
	(void)fprintf(stderr, "takhinctl: process %ld is still stopping\n", (long)pid);
	return 1;
}

static int
run_stop(const struct ask *ask)
{
	return run_end(ask, "stop");
}

static int
run_quit(const struct ask *ask)
{
	return run_end(ask, "quit");
}

static int
run_reload(const struct ask *ask)
{
	pid_t pid;
	json_t *answer = ask_broker(ask, "reload", RELOAD_MS, &pid);

	if (answer == NULL)
		return 1;
	(void)printf("settings generation %lld is in force\n",
	    (long long)json_integer_value(json_object_get(answer, "generation")));
	json_decref(answer);
	return 0;
}

static int
run_reopen(const struct ask *ask)
{
	pid_t pid;
	json_t *answer = ask_broker(ask, "reopen", ANSWER_MS, &pid);

	json_decref(answer);
	return answer == NULL ? 1 : 0;
}

static int
run_version(const struct ask *ask)
{
	pid_t pid;
	json_t *answer;
	const char *version;

	(void)printf("takhinctl %s\n", PACKAGE_VERSION);
	answer = ask_broker(ask, "status", ANSWER_MS, &pid);
	if (answer == NULL)
		return 1;
	version = json_string_value(json_object_get(answer, "version"));
	(void)printf("takhin %s, process %ld\n", version != NULL ? version : "?", (long)pid);
	json_decref(answer);
	return 0;
}

static const struct command_row {
	const char *name;
	int (*run)(const struct ask *ask);
} commands[] = {
	{ "status", run_status },
	{ "stop", run_stop },
	{ "quit", run_quit },
	{ "reload", run_reload },
	{ "reopen", run_reopen },
	{ "version", run_version },
};

static int
command_run(const struct ask *ask, const char *name)
{
	for (size_t i = 0; i < TK_COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(ask);
	(void)fprintf(stderr, "takhinctl: unknown command \"%s\"\n", name);
	return usage(stderr);
}

static const struct option long_options[] = {
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

int
main(int argc, char **argv)
{
	struct ask ask = { .json = false };
	int letter;

	while ((letter = getopt_long(argc, argv, "c:hp:s:", long_options, NULL)) != -1) {
		switch (letter) {
		case 'c':
			ask.file = optarg;
			break;
		case 'p':
			ask.prefix = optarg;
			break;
		case 's':
			ask.socket = optarg;
			break;
		case 'j':
			ask.json = true;
			break;
		case 'h':
			return usage(stdout);
		default:
			return usage(stderr);
		}
	}
	if (argc - optind != 1)
		return usage(stderr);
	return command_run(&ask, argv[optind]);
}
