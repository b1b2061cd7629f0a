/*
 * Loading the settings, from defaults to the checked struct, and the list of what went wrong.
 *
 * Run by the master at start, at a reload and for -t; the struct is inherited by its children.  On
 * failure everything found is in the error list and nothing else has changed.
 */
#include "base/settings.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/settings_private.h"

#define FILE_NAME      "takhin.conf"
#define TEXT_NAME      "-g"
#define TEXT_MAX_BYTES 1024

static void
error_append(struct tk_settings_load *load, const struct tk_setting_origin *at, bool warning,
    const char *text)
{
	struct tk_settings_error *error = tk_arena_calloc(load->arena, 1, sizeof(*error));
	struct tk_settings_errors *errors = load->errors;

	if (warning)
		errors->warning_count++;
	else
		errors->error_count++;
	if (error != NULL && at != NULL && at->file != NULL)
		error->text = tk_arena_printf(load->arena, "%s:%u: %s", at->file, at->line, text);
	else if (error != NULL)
		error->text = tk_arena_strndup(load->arena, text, strlen(text));
	if (error == NULL || error->text == NULL) {
		load->no_memory = true;
		return;
	}
	error->warning = warning;
	if (errors->last == NULL)
		errors->first = error;
	else
		errors->last->next = error;
	errors->last = error;
}

void
tk_settings_error(
    struct tk_settings_load *load, const struct tk_setting_origin *at, const char *fmt, ...)
{
	char text[TEXT_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error_append(load, at, false, text);
}

void
tk_settings_warning(
    struct tk_settings_load *load, const struct tk_setting_origin *at, const char *fmt, ...)
{
	char text[TEXT_MAX_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error_append(load, at, true, text);
}

int
tk_word_find(const char *const *words, const char *word)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

static void
default_set(const struct tk_setting *row, void *field)
{
	const char *text = row->default_text;
	int64_t value = 0;
	int rc = 0;

	switch (row->type) {
	case TK_SETTING_BOOL:
		*(bool *)field = strcmp(text, "true") == 0;
		break;
	case TK_SETTING_INT:
		if (row->zero_word == NULL || strcmp(text, row->zero_word) != 0)
			rc = tk_size_parse(text, &value);
		*(int32_t *)field = (int32_t)value;
		break;
	case TK_SETTING_SIZE:
		rc = tk_size_parse(text, field);
		break;
	case TK_SETTING_DURATION:
		rc = tk_duration_parse(text, field);
		break;
	case TK_SETTING_STRING:
		*(const char **)field = text;
		break;
	case TK_SETTING_ENUM:
		*(int *)field = tk_word_find(row->words, text);
		break;
	case TK_SETTING_STRINGS:
	case TK_SETTING_CIDRS:
	case TK_SETTING_LISTENERS:
		break; /* empty, and completed by tk_settings_finish */
	}
	tk_assert(rc == 0);
}

void
tk_settings_set_defaults(const struct tk_setting *rows, size_t count, void *holder)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].default_text != NULL)
			default_set(&rows[i], tk_setting_field(&rows[i], holder));
}

static int
load_init(struct tk_settings_load *load, struct tk_arena *arena, struct tk_settings_errors *errors)
{
	const struct tk_setting *rows;
	size_t count;

	*errors = (struct tk_settings_errors){ .arena = arena };
	*load = (struct tk_settings_load){ .arena = arena, .errors = errors };
	rows = tk_settings_rows(&count);
	load->settings = tk_arena_calloc(arena, 1, sizeof(*load->settings));
	load->origins = tk_arena_calloc(arena, count, sizeof(*load->origins));
	if (load->settings == NULL || load->origins == NULL)
		return -ENOMEM;
	load->settings->origins = load->origins;
	tk_settings_set_defaults(rows, count, load->settings);
	return 0;
}

/* An absolute path without links of an existing folder or file, NULL after an error was added. */
static const char *
path_real(struct tk_settings_load *load, const char *what, const char *path)
{
	char *real = realpath(path, NULL);
	const char *copy;

	if (real == NULL) {
		tk_settings_error(
		    load, NULL, "could not use %s \"%s\": %s", what, path, strerror(errno));
		return NULL;
	}
	copy = tk_arena_strndup(load->arena, real, strlen(real));
	load->no_memory = load->no_memory || copy == NULL;
	free(real);
	return copy;
}

static const char *
path_folder(struct tk_settings_load *load, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *folder;

	tk_assert(slash != NULL);
	folder = tk_arena_strndup(load->arena, path, (size_t)TK_MAX(slash - path, 1));
	load->no_memory = load->no_memory || folder == NULL;
	return folder;
}

/* The name of the settings file that is to be read, NULL for none. */
static const char *
source_file(struct tk_settings_load *load, const struct tk_settings_source *src, const char *prefix)
{
	const char *path;

	if (src->text_only)
		return NULL;
	if (src->file != NULL)
		return path_real(load, "settings file", src->file);
	path = tk_arena_printf(load->arena, "%s/" FILE_NAME, prefix);
	load->no_memory = load->no_memory || path == NULL;
	return path != NULL && access(path, F_OK) == 0 ? path : NULL;
}

static void
load_locate(struct tk_settings_load *load, const struct tk_settings_source *src)
{
	struct tk_settings *settings = load->settings;

	if (src->prefix != NULL)
		settings->prefix = path_real(load, "prefix folder", src->prefix);
	else if (src->file == NULL || src->text_only)
		settings->prefix = SYSCONFDIR "/takhin";
	if (load->errors->error_count > 0 || load->no_memory)
		return;
	settings->file = source_file(load, src, settings->prefix);
	if (settings->prefix == NULL && settings->file != NULL)
		settings->prefix = path_folder(load, settings->file);
}

/* Where nothing says otherwise: below the folder of -p, else where the system keeps such things. */
static void
load_computed_defaults(struct tk_settings_load *load, const struct tk_settings_source *src)
{
	struct tk_settings *settings = load->settings;
	const char **items = tk_arena_calloc(load->arena, 1, sizeof(*items));

	if (items == NULL) {
		load->no_memory = true;
		return;
	}
	items[0] = src->prefix != NULL ? "data" : LOCALSTATEDIR "/lib/takhin";
	settings->data_directories = (struct tk_strings){ .items = items, .count = 1 };
	settings->run_directory = src->prefix != NULL ? "run" : RUNSTATEDIR "/takhin";
}

int
tk_settings_load(struct tk_arena *arena, const struct tk_settings_source *src,
    struct tk_settings **ret_settings, struct tk_settings_errors *errors)
{
	struct tk_settings_load load;
	int rc = load_init(&load, arena, errors);

	if (rc < 0)
		return rc;
	load_locate(&load, src);
	load_computed_defaults(&load, src);
	if (errors->error_count == 0 && !load.no_memory) {
		if (load.settings->file != NULL)
			tk_settings_read_file(&load, load.settings->file);
		if (src->text != NULL)
			tk_settings_read_text(&load, TEXT_NAME, src->text);
	}
	if (errors->error_count == 0 && !load.no_memory)
		tk_settings_finish(&load);
	if (load.no_memory)
		return -ENOMEM;
	if (errors->error_count > 0)
		return -EINVAL;
	*ret_settings = load.settings;
	return 0;
}

int32_t
tk_settings_workers(const struct tk_settings *settings)
{
	cpu_set_t set;
	int count;

	if (settings->worker_processes > 0)
		return settings->worker_processes;
	count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return (int32_t)TK_MIN(TK_MAX(count, 1), tk_setting_find("worker_processes")->max);
}
