/*
 * What can be asked for at the control socket: a table of commands.  Master only.
 */
#include <string.h>
#include <unistd.h>

#include "master/control.h"

#define TEXT_BYTES 8192

json_t *
tk_master_refusal(const char *text)
{
	json_t *answer = json_pack("{s:b,s:s}", "ok", 0, "error", text);

	if (answer == NULL) /* JSON is UTF-8; a file's name may be anything */
		answer = json_pack("{s:b,s:s}", "ok", 0, "error", "see the error log");
	return answer;
}

static json_t *
accepted(void)
{
	return json_pack("{s:b,s:I}", "ok", 1, "pid", (json_int_t)getpid());
}

static json_t *
run_stop(struct tk_master *master)
{
	tk_master_stop(master, false);
	return accepted();
}

static json_t *
run_quit(struct tk_master *master)
{
	tk_master_stop(master, true);
	return accepted();
}

static json_t *
run_reload(struct tk_master *master)
{
	char text[TEXT_BYTES];

	if (tk_master_reload(master, text, sizeof(text)) < 0)
		return tk_master_refusal(text);
	return NULL;
}

static json_t *
run_reopen(struct tk_master *master)
{
	int rc = tk_master_reopen(master);

	return rc < 0 ? tk_master_refusal(strerror(-rc)) : accepted();
}

static const struct command_row {
	const char *name;
	json_t *(*run)(struct tk_master *master);
} rows[] = {
	{ "status", tk_master_status },
	{ "stop", run_stop },
	{ "quit", run_quit },
	{ "reload", run_reload },
	{ "reopen", run_reopen },
};

json_t *
tk_master_command_run(struct tk_master *master, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "command"));

	for (size_t i = 0; name != NULL && i < TK_COUNT_OF(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].run(master);
	return tk_master_refusal(name == NULL ? "no command was given" : "unknown command");
}
