/*
 * Reading takhin.conf by libconfig: each setting found is looked up in the rows, checked by its row
 * and stored.
 *
 * Run by the master at start, at a reload and for -t.  Bad settings are added to the error list and
 * reading goes on, so that all of them are told at once; only a syntax error ends it, as libconfig
 * stops there.
 *
 * libconfig 1.5 cuts integers without the suffix L to 32 bits and says nothing.  Sizes and
 * durations are therefore strings with a unit or have the L, and the text is scanned for integers
 * that were cut (settings_scan.c).
 */
#include <inttypes.h>
#include <libconfig.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/settings_private.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)

/* A setting about to be stored. */
struct item {
	struct tk_settings_load *load;
	const struct tk_setting *row;
	const config_setting_t *setting;
	struct tk_setting_origin at;
	void *field;
};

static const char *
type_name(const config_setting_t *setting)
{
	switch (config_setting_type(setting)) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "an integer";
	case CONFIG_TYPE_FLOAT:
		return "a fraction";
	case CONFIG_TYPE_STRING:
		return "a string";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		return "a list";
	default:
		return "nothing";
	}
}

static void
wrong_type(const struct item *item, const char *wanted)
{
	tk_settings_error(item->load, &item->at, "\"%s\" must be %s, not %s", item->row->path,
	    wanted, type_name(item->setting));
}

static const char *
item_strdup(const struct item *item, const char *text)
{
	const char *copy = tk_arena_strndup(item->load->arena, text, strlen(text));

	item->load->no_memory = item->load->no_memory || copy == NULL;
	return copy;
}

static void
store_bool(const struct item *item)
{
	if (config_setting_type(item->setting) != CONFIG_TYPE_BOOL)
		wrong_type(item, "true or false");
	else
		*(bool *)item->field = config_setting_get_bool(item->setting) != 0;
}

static void
store_int(const struct item *item)
{
	const struct tk_setting *row = item->row;
	int type = config_setting_type(item->setting);
	long long value;

	if (type == CONFIG_TYPE_STRING && row->zero_word != NULL &&
	    strcmp(config_setting_get_string(item->setting), row->zero_word) == 0) {
		*(int32_t *)item->field = 0;
		return;
	}
	if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
		if (row->zero_word == NULL)
			wrong_type(item, "an integer");
		else
			tk_settings_error(item->load, &item->at,
			    "\"%s\" must be an integer or \"%s\"", row->path, row->zero_word);
		return;
	}
	value = config_setting_get_int64(item->setting);
	if (value < row->min || value > row->max)
		tk_settings_error(item->load, &item->at,
		    "\"%s\" must be from %" PRId64 " to %" PRId64 ", not %lld", row->path, row->min,
		    row->max, value);
	else
		*(int32_t *)item->field = (int32_t)value;
}

static void
quantity_range_error(const struct item *item, const char *text)
{
	const struct tk_setting *row = item->row;
	char min[32], max[32];

	if (row->type == TK_SETTING_SIZE) {
		(void)tk_size_format(row->min, min, sizeof(min));
		(void)tk_size_format(row->max, max, sizeof(max));
	} else {
		(void)tk_duration_format(row->min, min, sizeof(min));
		(void)tk_duration_format(row->max, max, sizeof(max));
	}
	tk_settings_error(item->load, &item->at, "\"%s\" must be from \"%s\" to \"%s\", not \"%s\"",
	    row->path, min, max, text);
}

static void
store_quantity_text(const struct item *item)
{
	const char *text = config_setting_get_string(item->setting);
	bool is_size = item->row->type == TK_SETTING_SIZE;
	int64_t value;
	int rc = is_size ? tk_size_parse(text, &value) : tk_duration_parse(text, &value);

	if (rc == -ERANGE || (rc == 0 && (value < item->row->min || value > item->row->max)))
		quantity_range_error(item, text);
	else if (rc < 0)
		tk_settings_error(item->load, &item->at,
		    "\"%s\" must be a whole number with a unit (%s), not \"%s\"", item->row->path,
		    is_size ? "B, KiB, MiB, GiB or TiB" : "ms, s, m, h or d", text);
	else
		*(int64_t *)item->field = value;
}

static void
store_quantity(const struct item *item)
{
	const char *example = item->row->type == TK_SETTING_SIZE ? "100GiB" : "7d";
	int type = config_setting_type(item->setting);
	long long value;
	char text[32];

	if (type == CONFIG_TYPE_STRING) {
		store_quantity_text(item);
	} else if (type == CONFIG_TYPE_INT) {
		tk_settings_error(item->load, &item->at,
		    "\"%s\" must be a string with a unit, as \"%s\", or an integer with the suffix "
		    "L: "
		    "a plain one would be cut to 32 bits without a word",
		    item->row->path, example);
	} else if (type == CONFIG_TYPE_INT64) {
		value = config_setting_get_int64(item->setting);
		(void)snprintf(text, sizeof(text), "%lld", value);
		if (value < item->row->min || value > item->row->max)
			quantity_range_error(item, text);
		else
			*(int64_t *)item->field = value;
	} else {
		(void)snprintf(text, sizeof(text), "a string as \"%s\"", example);
		wrong_type(item, text);
	}
}

static void
store_string(const struct item *item)
{
	if (config_setting_type(item->setting) != CONFIG_TYPE_STRING)
		wrong_type(item, "a string");
	else
		*(const char **)item->field =
		    item_strdup(item, config_setting_get_string(item->setting));
}

static void
words_join(const char *const *words, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; words[i] != NULL && len < size; i++) {
		const char *joint = i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ";
		int n = snprintf(buf + len, size - len, "%s\"%s\"", joint, words[i]);

		len += n > 0 ? (size_t)n : 0;
	}
}

static void
store_enum(const struct item *item)
{
	const char *text, *guess;
	char words[256];
	int place;

	words_join(item->row->words, words, sizeof(words));
	if (config_setting_type(item->setting) != CONFIG_TYPE_STRING) {
		wrong_type(item, words);
		return;
	}
	text = config_setting_get_string(item->setting);
	place = tk_word_find(item->row->words, text);
	if (place >= 0) {
		*(int *)item->field = place;
		return;
	}
	guess = tk_word_guess(item->row->words, text);
	tk_settings_error(item->load, &item->at, "\"%s\" must be %s, not \"%s\"%s%s%s",
	    item->row->path, words, text, guess != NULL ? ": did you mean \"" : "",
	    guess != NULL ? guess : "", guess != NULL ? "\"?" : "");
}

/* The strings of a list, NULL after an error was added. */
static const char **
read_strings(const struct item *item, size_t *ret_count)
{
	int count = config_setting_length(item->setting);
	int type = config_setting_type(item->setting);
	const char **items;

	if (type != CONFIG_TYPE_LIST && type != CONFIG_TYPE_ARRAY) {
		wrong_type(item, "a list of strings");
		return NULL;
	}
	items = tk_arena_calloc(item->load->arena, (size_t)count + 1, sizeof(*items));
	item->load->no_memory = item->load->no_memory || items == NULL;
	for (int i = 0; items != NULL && i < count; i++) {
		struct item member = *item;

		member.setting = config_setting_get_elem(item->setting, (unsigned)i);
		if (config_setting_type(member.setting) != CONFIG_TYPE_STRING) {
			tk_settings_error(item->load, &item->at,
			    "\"%s\" must be a list of strings, but holds %s", item->row->path,
			    type_name(member.setting));
			return NULL;
		}
		items[i] = item_strdup(item, config_setting_get_string(member.setting));
		if (items[i] == NULL)
			return NULL;
	}
	*ret_count = (size_t)count;
	return items;
}

static void
store_strings(const struct item *item)
{
	struct tk_strings strings;

	strings.items = read_strings(item, &strings.count);
	if (strings.items != NULL)
		*(struct tk_strings *)item->field = strings;
}

static void
store_cidrs(const struct item *item)
{
	struct tk_cidrs cidrs;

	cidrs.texts = read_strings(item, &cidrs.count);
	if (cidrs.texts == NULL)
		return;
	cidrs.items = tk_arena_calloc(item->load->arena, cidrs.count, sizeof(*cidrs.items));
	if (cidrs.items == NULL) {
		item->load->no_memory = true;
		return;
	}
	for (size_t i = 0; i < cidrs.count; i++)
		if (tk_cidr_parse(cidrs.texts[i], &cidrs.items[i]) < 0)
			tk_settings_error(item->load, &item->at,
			    "\"%s\" in \"%s\" is not a network as \"10.0.0.0/8\" or \"fd00::/8\", "
			    "with "
			    "no bits set past the prefix",
			    cidrs.texts[i], item->row->path);
	*(struct tk_cidrs *)item->field = cidrs;
}

/* The text of a file, for the caller to free; NULL after an error was added. */
static char *
file_text(struct tk_settings_load *load, const char *path)
{
	char *text = malloc(FILE_MAX_BYTES + 1);
	FILE *file = fopen(path, "re");
	size_t len = 0;

	if (file != NULL && text != NULL)
		len = fread(text, 1, FILE_MAX_BYTES + 1, file);
	if (file == NULL || text == NULL || ferror(file))
		tk_settings_error(
		    load, NULL, "could not read settings file \"%s\": %s", path, strerror(errno));
	else if (len > FILE_MAX_BYTES)
		tk_settings_error(load, NULL, "settings file \"%s\" is larger than 1 MiB", path);
	else
		text[len] = '\0';
	if (file == NULL || text == NULL || ferror(file) || len > FILE_MAX_BYTES) {
		free(text);
		text = NULL;
		load->unreadable = true;
	}
	if (file != NULL)
		(void)fclose(file);
	return text;
}

/* What an @include called name is: it stands on the folder of the first file. */
static const char *
file_full_name(struct tk_settings_load *load, const char *name)
{
	const char *path = NULL;

	if (name[0] != '/' && load->folder != NULL)
		path = tk_arena_printf(load->arena, "%s/%s", load->folder, name);
	return path != NULL && access(path, F_OK) == 0 ? path : name;
}

/*
 * Our copy of a file's name, since libconfig's go with the parsed tree.  A file seen for the first
 * time (one that was included) is scanned.
 */
static const char *
file_seen(struct tk_settings_load *load, const char *name)
{
	struct tk_settings_file *file;
	char *text;

	for (file = load->files; file != NULL; file = file->next)
		if (strcmp(file->given_name, name) == 0)
			return file->name;
	file = tk_arena_calloc(load->arena, 1, sizeof(*file));
	if (file != NULL)
		file->given_name = tk_arena_strndup(load->arena, name, strlen(name));
	if (file == NULL || file->given_name == NULL) {
		load->no_memory = true;
		return "";
	}
	file->name = file_full_name(load, file->given_name);
	file->next = load->files;
	load->files = file;
	text = file_text(load, file->name);
	if (text != NULL)
		tk_settings_scan(load, file->name, text);
	free(text);
	return file->name;
}

static struct tk_setting_origin
origin_of(struct tk_settings_load *load, const config_setting_t *setting, const char *name)
{
	const char *file = config_setting_source_file(setting);

	return (struct tk_setting_origin){ .file = file != NULL ? file_seen(load, file) : name,
		.line = (unsigned)config_setting_source_line(setting) };
}

static void read_group(struct tk_settings_load *load, const config_setting_t *group,
    const struct tk_setting *rows, size_t count, void *holder, const char *name);

static void
store_listeners(const struct item *item)
{
	size_t row_count, count = (size_t)config_setting_length(item->setting);
	const struct tk_setting *rows = tk_listener_rows(&row_count);
	struct tk_listener_settings *items;

	if (config_setting_type(item->setting) != CONFIG_TYPE_LIST) {
		wrong_type(item, "a list of groups, as ( { port = 9092; } )");
		return;
	}
	items = tk_arena_calloc(item->load->arena, count, sizeof(*items));
	if (items == NULL) {
		item->load->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct item member = *item;

		member.setting = config_setting_get_elem(item->setting, (unsigned)i);
		member.at = origin_of(item->load, member.setting, item->at.file);
		tk_settings_set_defaults(rows, row_count, &items[i]);
		items[i].file = member.at.file;
		items[i].line = member.at.line;
		if (config_setting_type(member.setting) != CONFIG_TYPE_GROUP)
			tk_settings_error(item->load, &member.at,
			    "\"%s\" must be a list of groups, but holds %s", item->row->path,
			    type_name(member.setting));
		else
			read_group(
			    item->load, member.setting, rows, row_count, &items[i], member.at.file);
	}
	*(struct tk_listeners *)item->field =
	    (struct tk_listeners){ .items = items, .count = count };
}

static void (*const stores[])(const struct item *item) = {
	[TK_SETTING_BOOL] = store_bool,
	[TK_SETTING_INT] = store_int,
	[TK_SETTING_SIZE] = store_quantity,
	[TK_SETTING_DURATION] = store_quantity,
	[TK_SETTING_STRING] = store_string,
	[TK_SETTING_ENUM] = store_enum,
	[TK_SETTING_STRINGS] = store_strings,
	[TK_SETTING_CIDRS] = store_cidrs,
	[TK_SETTING_LISTENERS] = store_listeners,
};

static bool
was_truncated(const struct tk_settings_load *load, const struct tk_setting_origin *at)
{
	for (size_t i = 0; i < load->truncated_count; i++)
		if (load->truncated[i].line == at->line &&
		    strcmp(load->truncated[i].file, at->file) == 0)
			return true;
	return false;
}

static void
unknown_error(struct tk_settings_load *load, const struct tk_setting_origin *at,
    const struct tk_setting *rows, size_t count, const char *name)
{
	const struct tk_setting *guess = tk_setting_guess(rows, count, name);

	if (guess != NULL)
		tk_settings_error(
		    load, at, "unknown setting \"%s\": did you mean \"%s\"?", name, guess->path);
	else
		tk_settings_error(load, at, "unknown setting \"%s\"", name);
}

static void
read_setting(struct tk_settings_load *load, const config_setting_t *setting,
    const struct tk_setting *rows, size_t count, void *holder, const char *name)
{
	struct item item = { .load = load, .setting = setting };
	size_t i = 0;

	item.at = origin_of(load, setting, name);
	while (i < count && strcmp(rows[i].path, config_setting_name(setting)) != 0)
		i++;
	if (i == count) {
		unknown_error(load, &item.at, rows, count, config_setting_name(setting));
		return;
	}
	if (config_setting_is_number(setting) && was_truncated(load, &item.at))
		return;
	item.row = &rows[i];
	item.field = tk_setting_field(item.row, holder);
	stores[item.row->type](&item);
	if (holder == load->settings)
		load->origins[i] = item.at;
}

/* Stores the members of a group in holder; name stands for the file where libconfig knows none. */
static void
read_group(struct tk_settings_load *load, const config_setting_t *group,
    const struct tk_setting *rows, size_t count, void *holder, const char *name)
{
	int length = config_setting_length(group);

	for (int i = 0; i < length; i++) {
		const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);

		/* What a syntax error left half-read has no type. */
		if (config_setting_type(setting) != CONFIG_TYPE_NONE)
			read_setting(load, setting, rows, count, holder, name);
	}
}

static void
syntax_error(struct tk_settings_load *load, const config_t *config, const char *name)
{
	const char *file =
	    config_error_file(config) != NULL ? file_seen(load, config_error_file(config)) : NULL;
	const char *text = config_error_text(config);
	struct tk_setting_origin at = { .file = file != NULL ? file : name,
		.line = (unsigned)config_error_line(config) };

	if (text != NULL && strstr(text, "include") != NULL)
		tk_settings_error(load, &at, "%s (its name stands on \"%s\")", text, load->folder);
	else
		tk_settings_error(load, &at, "%s", text != NULL ? text : "syntax error");
}

/* Stores what a read gave, which after a syntax error is what stood before it. */
static void
read_tree(struct tk_settings_load *load, config_t *config, bool complete, const char *name)
{
	size_t count;
	const struct tk_setting *rows = tk_settings_rows(&count);

	read_group(load, config_root_setting(config), rows, count, load->settings, name);
	if (!complete)
		syntax_error(load, config, name);
}

/* Reads path, or text if path is NULL, and stores it; included files stand on folder. */
static void
read_source(struct tk_settings_load *load, const char *folder, const char *path, const char *name,
    const char *text)
{
	config_t config;
	int ok;

	load->folder = folder;
	config_init(&config);
	config_set_include_dir(&config, folder);
	ok = path != NULL ? config_read_file(&config, path) : config_read_string(&config, text);
	read_tree(load, &config, ok == CONFIG_TRUE, name);
	config_destroy(&config);
}

void
tk_settings_read_file(struct tk_settings_load *load, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *folder;

	tk_assert(slash != NULL);
	folder = tk_arena_strndup(load->arena, path, (size_t)TK_MAX(slash - path, 1));
	if (folder == NULL) {
		load->no_memory = true;
		return;
	}
	path = file_seen(load, path);
	if (!load->unreadable && !load->no_memory)
		read_source(load, folder, path, path, NULL);
}

void
tk_settings_read_text(struct tk_settings_load *load, const char *name, const char *text)
{
	tk_settings_scan(load, name, text);
	read_source(load, load->settings->prefix, NULL, name, text);
}
