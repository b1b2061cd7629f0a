/*
 * Values of settings as text, for -T, for DescribeConfigs and for comparing two structs.
 *
 * Any process, any thread.  Text goes into a buffer with a bound, as snprintf does: what does not
 * fit is cut and the whole length told.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/settings_private.h"

/* Text being written; len goes on counting past the end. */
struct text {
	char *buf;
	size_t size, len;
};

static void text_add(struct text *text, const char *fmt, ...) TK_PRINTF(2, 3);

static void
text_add(struct text *text, const char *fmt, ...)
{
	size_t at = TK_MIN(text->len, text->size);
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text->size > 0 ? text->buf + at : NULL, text->size - at, fmt, args);
	va_end(args);
	text->len += n > 0 ? (size_t)n : 0;
}

/* A string in quotes, so that libconfig reads the same bytes again. */
static void
add_quoted(struct text *text, const char *string)
{
	text_add(text, "\"");
	for (; *string != '\0'; string++) {
		unsigned char c = (unsigned char)*string;

		if (c == '"' || c == '\\')
			text_add(text, "\\%c", c);
		else if (c < 0x20)
			text_add(text, "\\x%02x", c);
		else
			text_add(text, "%c", c);
	}
	text_add(text, "\"");
}

/* The items by commas, in the brackets and quotes of takhin.conf if conf. */
static void
add_strings(struct text *text, const char *const *items, size_t count, bool conf)
{
	if (conf)
		text_add(text, "[");
	for (size_t i = 0; i < count; i++) {
		text_add(text, "%s%s", i == 0 ? "" : ",", conf ? " " : "");
		if (conf)
			add_quoted(text, items[i]);
		else
			text_add(text, "%s", items[i]);
	}
	if (conf)
		text_add(text, " ]");
}

/* An address as in a URL. */
static void
add_host(struct text *text, const char *host)
{
	text_add(text, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
}

static void add_value(
    struct text *text, const struct tk_setting *row, const void *holder, bool conf);

static void
add_listener_conf(struct text *text, const struct tk_listener_settings *listener)
{
	size_t count;
	const struct tk_setting *rows = tk_listener_rows(&count);

	text_add(text, "    {\n");
	for (size_t i = 0; i < count; i++) {
		text_add(text, "        %s = ", rows[i].path);
		add_value(text, &rows[i], listener, true);
		text_add(text, ";\n");
	}
	text_add(text, "    }");
}

static void
add_listeners(struct text *text, const struct tk_listeners *listeners, bool conf)
{
	text_add(text, "%s", conf ? "(\n" : "");
	for (size_t i = 0; i < listeners->count; i++) {
		const struct tk_listener_settings *listener = &listeners->items[i];

		text_add(text, "%s", i == 0 ? "" : conf ? ",\n" : ",");
		if (conf) {
			add_listener_conf(text, listener);
			continue;
		}
		text_add(text, "%s://", listener->name);
		add_host(text, listener->bind);
		text_add(text, ":%d", (int)listener->port);
	}
	text_add(text, "%s", conf ? "\n)" : "");
}

static void
add_quantity(struct text *text, const struct tk_setting *row, int64_t value, bool conf)
{
	char quantity[32];

	if (!conf) {
		text_add(text, "%" PRId64, value);
		return;
	}
	if (row->type == TK_SETTING_SIZE)
		(void)tk_size_format(value, quantity, sizeof(quantity));
	else
		(void)tk_duration_format(value, quantity, sizeof(quantity));
	text_add(text, "\"%s\"", quantity);
}

static void
add_int(struct text *text, const struct tk_setting *row, int32_t value, bool conf)
{
	if (conf && value == 0 && row->zero_word != NULL)
		text_add(text, "\"%s\"", row->zero_word);
	else
		text_add(text, "%" PRId32, value);
}

static void
add_string(struct text *text, const char *string, bool conf)
{
	if (conf)
		add_quoted(text, string);
	else
		text_add(text, "%s", string);
}

static void
add_value(struct text *text, const struct tk_setting *row, const void *holder, bool conf)
{
	const void *field = tk_setting_field_const(row, holder);
	const struct tk_strings *strings;
	const struct tk_cidrs *cidrs;

	switch (row->type) {
	case TK_SETTING_BOOL:
		text_add(text, "%s", *(const bool *)field ? "true" : "false");
		break;
	case TK_SETTING_INT:
		add_int(text, row, *(const int32_t *)field, conf);
		break;
	case TK_SETTING_SIZE:
	case TK_SETTING_DURATION:
		add_quantity(text, row, *(const int64_t *)field, conf);
		break;
	case TK_SETTING_STRING:
		add_string(text, *(const char *const *)field, conf);
		break;
	case TK_SETTING_ENUM:
		add_string(text, row->words[*(const int *)field], conf);
		break;
	case TK_SETTING_STRINGS:
		strings = field;
		add_strings(text, strings->items, strings->count, conf);
		break;
	case TK_SETTING_CIDRS:
		cidrs = field;
		add_strings(text, cidrs->texts, cidrs->count, conf);
		break;
	case TK_SETTING_LISTENERS:
		add_listeners(text, field, conf);
		break;
	}
}

static int
format(const struct tk_settings *settings, const struct tk_setting *row, bool conf, char *buf,
    size_t size)
{
	struct text text = { .buf = buf, .size = size };

	if (size > 0)
		buf[0] = '\0';
	add_value(&text, row, settings, conf);
	return (int)text.len;
}

int
tk_setting_format(
    const struct tk_settings *settings, const struct tk_setting *row, char *buf, size_t size)
{
	return format(settings, row, false, buf, size);
}

int
tk_setting_format_conf(
    const struct tk_settings *settings, const struct tk_setting *row, char *buf, size_t size)
{
	return format(settings, row, true, buf, size);
}

/* The whole text of a value, as much as fits where memory is short; free with the arena. */
static const char *
format_whole(struct tk_arena *arena, const struct tk_settings *settings,
    const struct tk_setting *row, bool conf)
{
	int len = format(settings, row, conf, NULL, 0);
	char *buf = tk_arena_alloc(arena, (size_t)len + 1);

	if (buf != NULL)
		(void)format(settings, row, conf, buf, (size_t)len + 1);
	return buf;
}

const char *
tk_setting_value(
    const struct tk_settings *settings, const struct tk_setting *row, struct tk_arena *arena)
{
	return format_whole(arena, settings, row, false);
}

const char *
tk_setting_default_value(const struct tk_setting *row, struct tk_arena *arena)
{
	struct tk_settings settings = { .origins = NULL };

	tk_assert(row->default_text != NULL);
	tk_settings_set_defaults(row, 1, &settings);
	return format_whole(arena, &settings, row, false);
}

static void
print_row(const struct tk_settings *settings, const struct tk_setting *row, struct tk_arena *arena,
    FILE *out)
{
	const struct tk_setting_origin *at = tk_setting_origin(settings, row);
	const char *value = format_whole(arena, settings, row, true);

	if (row->section != NULL)
		(void)fprintf(out, "\n# %s\n", row->section);
	(void)fprintf(out, "%s = %s;", row->path, value != NULL ? value : "");
	if (at->file != NULL)
		(void)fprintf(out, " # %s:%u\n", at->file, at->line);
	else
		(void)fprintf(out, " # default\n");
}

void
tk_settings_print(const struct tk_settings *settings, FILE *out)
{
	struct tk_arena arena;
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	(void)fprintf(
	    out, "# settings file: %s\n", settings->file != NULL ? settings->file : "none");
	(void)fprintf(out, "# relative paths stand on: %s\n", settings->prefix);
	tk_arena_init(&arena, SIZE_MAX);
	for (size_t i = 0; i < count; i++)
		print_row(settings, &rows[i], &arena, out);
	tk_arena_reset(&arena);
}

bool
tk_setting_equal(
    const struct tk_settings *a, const struct tk_settings *b, const struct tk_setting *row)
{
	struct tk_arena arena;
	const char *a_text, *b_text;
	bool equal;

	tk_arena_init(&arena, SIZE_MAX);
	a_text = format_whole(&arena, a, row, true);
	b_text = format_whole(&arena, b, row, true);
	equal = a_text != NULL && b_text != NULL && strcmp(a_text, b_text) == 0;
	tk_arena_reset(&arena);
	return equal;
}

unsigned
tk_settings_diff(const struct tk_settings *old, const struct tk_settings *new,
    void (*found)(void *arg, const struct tk_setting *row), void *arg)
{
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);
	unsigned differing = 0;

	for (size_t i = 0; i < count; i++) {
		if (rows[i].reloadable || tk_setting_equal(old, new, &rows[i]))
			continue;
		differing++;
		if (found != NULL)
			found(arg, &rows[i]);
	}
	return differing;
}
