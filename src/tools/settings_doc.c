/*
 * settings-doc: prints what follows from the table of settings.
 *
 *	settings-doc conf		conf/takhin.conf
 *	settings-doc man TEMPLATE	man/takhin.conf.5, from man/takhin.conf.5.in
 *	settings-doc check FILE	checks a settings file, prints all settings as takhin -T
 *
 * A tool of the build, never installed.  Exit status 1 where a file is bad, 2 for wrong usage.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/settings.h"

#define CONF_COLUMNS 90
#define MAN_COLUMNS  76
#define ARENA_BYTES  ((size_t)16 << 20)

/* What a row takes, for the manual. */
static const char *
type_text(const struct tk_setting *row)
{
	switch (row->type) {
	case TK_SETTING_BOOL:
		return "true or false";
	case TK_SETTING_INT:
		return row->zero_word != NULL ? "number or word" : "number";
	case TK_SETTING_SIZE:
		return "size";
	case TK_SETTING_DURATION:
		return "duration";
	case TK_SETTING_STRING:
	case TK_SETTING_ENUM:
		return "string";
	case TK_SETTING_STRINGS:
	case TK_SETTING_CIDRS:
		return "list of strings";
	case TK_SETTING_LISTENERS:
		break;
	}
	return "list of groups";
}

static bool
type_is_quoted(const struct tk_setting *row)
{
	return row->type == TK_SETTING_SIZE || row->type == TK_SETTING_DURATION ||
	       row->type == TK_SETTING_STRING || row->type == TK_SETTING_ENUM ||
	       (row->zero_word != NULL && strcmp(row->default_text, row->zero_word) == 0);
}

/* A row's default, or its example, as takhin.conf has it. */
static void
value_text(const struct tk_setting *row, char *buf, size_t size)
{
	if (row->default_text == NULL)
		(void)snprintf(buf, size, "%s", row->example);
	else if (row->type == TK_SETTING_CIDRS) /* none has a default that is not empty */
		(void)snprintf(buf, size, "[ ]");
	else if (type_is_quoted(row))
		(void)snprintf(buf, size, "\"%s\"", row->default_text);
	else
		(void)snprintf(buf, size, "%s", row->default_text);
}

static void
quantity_text(const struct tk_setting *row, int64_t value, char *buf, size_t size)
{
	if (row->type == TK_SETTING_SIZE)
		(void)tk_size_format(value, buf, size);
	else
		(void)tk_duration_format(value, buf, size);
}

/* The bounds of an integer, a size or a duration where they are worth telling, else "". */
static void
range_text(const struct tk_setting *row, char *buf, size_t size)
{
	bool is_int = row->type == TK_SETTING_INT;
	char min[32], max[32];

	buf[0] = '\0';
	if (is_int && row->max < INT32_MAX && row->min < row->max)
		(void)snprintf(buf, size, "From %" PRId64 " to %" PRId64 ".", row->min, row->max);
	if (row->type != TK_SETTING_SIZE && row->type != TK_SETTING_DURATION)
		return;
	quantity_text(row, row->min, min, sizeof(min));
	quantity_text(row, row->max, max, sizeof(max));
	if (row->max < INT32_MAX || (row->max > INT32_MAX && row->max < INT64_MAX))
		(void)snprintf(buf, size, "From \"%s\" to \"%s\".", min, max);
	else if (row->type == TK_SETTING_SIZE && row->max == INT32_MAX)
		(void)snprintf(buf, size, "Less than \"2GiB\".");
}

static void
words_text(const struct tk_setting *row, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; row->words != NULL && row->words[i] != NULL && len < size; i++) {
		const char *joint = i == 0 ? "One of " : row->words[i + 1] == NULL ? " and " : ", ";
		const char *end = row->words[i + 1] == NULL ? "." : "";
		int n = snprintf(buf + len, size - len, "%s\"%s\"%s", joint, row->words[i], end);

		len += n > 0 ? (size_t)n : 0;
	}
}

/* All that is to be said of a row, in sentences with two spaces between them. */
static void
row_text(const struct tk_setting *row, bool top, char *buf, size_t size)
{
	char range[96], words[256], key[128] = "", note[192] = "";

	range_text(row, range, sizeof(range));
	words_text(row, words, sizeof(words));
	if (row->default_text == NULL && row->default_note != NULL)
		(void)snprintf(note, sizeof(note), "  By default %s.", row->default_note);
	if (row->kafka_key != NULL)
		(void)snprintf(key, sizeof(key), "  Kafka: %s.", row->kafka_key);
	(void)snprintf(buf, size, "%s%s%s%s%s%s%s%s", row->help, *range != '\0' ? "  " : "", range,
	    *words != '\0' ? "  " : "", words, note, key,
	    top && !row->reloadable ? "  A change takes a restart." : "");
}

/* text in lines of comment, each behind lead. */
static void
conf_comment(const char *lead, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column > 0 && column + 1 + len > CONF_COLUMNS - strlen(lead)) {
			(void)printf("\n");
			column = 0;
		}
		column += len + 1;
		(void)printf("%s%.*s", column == len + 1 ? lead : " ", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	(void)printf("\n");
}

static void
conf_listener(void)
{
	size_t count;
	const struct tk_setting *rows = tk_listener_rows(&count);
	char text[1024], value[256];

	(void)printf("#listeners = (\n#\t{\n");
	for (size_t i = 0; i < count; i++) {
		row_text(&rows[i], false, text, sizeof(text));
		value_text(&rows[i], value, sizeof(value));
		conf_comment("#\t\t# ", text);
		(void)printf("#\t\t%s = %s;\n", rows[i].path, value);
	}
	(void)printf("#\t}\n#);\n");
}

static void
conf_row(const struct tk_setting *row)
{
	char text[1024], value[256];

	if (row->section != NULL)
		(void)printf("\n##\n## %s\n##\n", row->section);
	row_text(row, true, text, sizeof(text));
	(void)printf("\n");
	conf_comment("# ", text);
	if (row->type == TK_SETTING_LISTENERS) {
		conf_listener();
		return;
	}
	value_text(row, value, sizeof(value));
	(void)printf("#%s = %s;\n", row->path, value);
}

static int
print_conf(void)
{
	static const char head[] =
	    "Settings of the Takhin broker; see takhin.conf(5).  Every setting is here with its "
	    "default: to change one, remove the # before it.  Sizes (\"100GiB\") and durations "
	    "(\"7d\") are strings with a unit.  `takhin -t` checks this file, `takhin -T` prints "
	    "what "
	    "is in effect.";
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	conf_comment("# ", head);
	for (size_t i = 0; i < count; i++)
		conf_row(&rows[i]);
	return 0;
}

/* A character of text where mdoc gives it a meaning of its own. */
static void
man_char(const char *text, const char *at)
{
	bool starts_word = at == text || at[-1] == ' ' || at[-1] == '"';

	if (*at == '\\')
		(void)printf("\\e");
	else if (*at == '-' && starts_word)
		(void)printf("\\-");
	else if (*at == '"')
		(void)printf("\\(dq");
	else
		(void)printf("%c", *at);
}

/* Sentences, each on lines of its own as mdoc wants it. */
static void
man_text(const char *text)
{
	size_t column = 0;

	for (const char *at = text; *at != '\0'; at++, column++) {
		bool ends = *at == ' ' && at[1] == ' ';

		if (ends || (*at == ' ' && column + strcspn(at + 1, " ") > MAN_COLUMNS)) {
			(void)printf("\n");
			column = 0;
			at += ends ? 1 : 0;
		} else {
			man_char(text, at);
		}
	}
	(void)printf("\n");
}

static void
man_row(const struct tk_setting *row, bool top, bool is_first)
{
	char text[1024], value[256];
	size_t len;

	if (top && row->section != NULL)
		(void)printf(
		    "%s.Ss %s\n.Bl -tag -width Ds\n", is_first ? "" : ".El\n", row->section);
	(void)printf(".It Ic %s No = Ar %s\n", row->path, type_text(row));
	row_text(row, top, text, sizeof(text));
	if (row->default_text != NULL) {
		value_text(row, value, sizeof(value));
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, "  The default is %s.", value);
	}
	man_text(text);
}

static void
man_rows(const struct tk_setting *rows, size_t count, bool top)
{
	if (!top)
		(void)printf(".Bl -tag -width Ds\n");
	for (size_t i = 0; i < count; i++)
		man_row(&rows[i], top, i == 0);
	(void)printf(".El\n");
}

static void
man_line(const char *line)
{
	size_t count;
	const struct tk_setting *rows;

	if (strcmp(line, "@settings@\n") == 0) {
		rows = tk_settings_rows(&count);
		man_rows(rows, count, true);
	} else if (strcmp(line, "@listener_settings@\n") == 0) {
		rows = tk_listener_rows(&count);
		man_rows(rows, count, false);
	} else {
		(void)fputs(line, stdout);
	}
}

static int
print_man(const char *path)
{
	FILE *template = fopen(path, "re");
	char line[1024];

	if (template == NULL) {
		(void)fprintf(stderr, "could not read \"%s\": %s\n", path, strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), template) != NULL)
		man_line(line);
	(void)fclose(template);
	return 0;
}

static int
check(const char *path)
{
	const struct tk_settings_source src = { .file = path };
	struct tk_settings_errors errors;
	struct tk_settings *settings;
	struct tk_arena arena;
	int rc;

	tk_arena_init(&arena, ARENA_BYTES);
	rc = tk_settings_load(&arena, &src, &settings, &errors);
	for (const struct tk_settings_error *e = errors.first; e != NULL; e = e->next)
		(void)fprintf(stderr, "%s%s\n", e->warning ? "warning: " : "", e->text);
	if (rc == 0)
		tk_settings_print(settings, stdout);
	tk_arena_reset(&arena);
	return rc == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	int rc = 2;

	if (argc == 2 && strcmp(argv[1], "conf") == 0)
		rc = print_conf();
	else if (argc == 3 && strcmp(argv[1], "man") == 0)
		rc = print_man(argv[2]);
	else if (argc == 3 && strcmp(argv[1], "check") == 0)
		rc = check(argv[2]);
	else
		(void)fprintf(stderr, "usage: settings-doc conf | man TEMPLATE | check FILE\n");
	if (fflush(stdout) != 0)
		return 1;
	return rc;
}
