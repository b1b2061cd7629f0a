/*
 * What the tests of settings share: a folder of their own, loads in it, and their errors as text.
 */
#ifndef TK_TESTS_UNIT_TEST_SETTINGS_H
#define TK_TESTS_UNIT_TEST_SETTINGS_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/settings.h"
#include "unit.h"

#define ARENA_LIMIT ((size_t)16 << 20)

struct loaded {
	struct tk_arena arena;
	struct tk_settings *settings; /* NULL after a failure */
	struct tk_settings_errors errors;
	int rc;
};

static inline const char *test_dir(void);

static inline void
test_dir_remove(void)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.4000s/takhin.conf", test_dir());
	(void)unlink(path);
	(void)rmdir(test_dir());
}

/* The folder, made by the first call and removed at exit. */
static inline const char *
test_dir(void)
{
	static char dir[PATH_MAX];
	char template[] = "/tmp/test_settings.XXXXXX";

	if (dir[0] != '\0')
		return dir;
	if (mkdtemp(template) == NULL || realpath(template, dir) == NULL)
		abort();
	(void)atexit(test_dir_remove);
	return dir;
}

static inline const char *
test_path(const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%.3000s/%.200s", test_dir(), name);
	return path;
}

static inline void
test_write(const char *name, const char *text)
{
	FILE *file = fopen(test_path(name), "w");

	if (file == NULL || fputs(text, file) == EOF || fclose(file) != 0)
		abort();
}

static inline void
load_source(struct loaded *loaded, const struct tk_settings_source *src)
{
	tk_arena_init(&loaded->arena, ARENA_LIMIT);
	loaded->settings = NULL;
	loaded->rc = tk_settings_load(&loaded->arena, src, &loaded->settings, &loaded->errors);
}

/* Loads conf as DIR/takhin.conf of -p DIR, with text for -g unless NULL. */
static inline void
load(struct loaded *loaded, const char *conf, const char *text)
{
	const struct tk_settings_source src = { .prefix = test_dir(), .text = text };

	if (conf != NULL)
		test_write("takhin.conf", conf);
	else
		(void)unlink(test_path("takhin.conf"));
	load_source(loaded, &src);
}

static inline void
unload(struct loaded *loaded)
{
	tk_arena_reset(&loaded->arena);
}

/* All errors and warnings in lines, with DIR for the folder's name. */
static inline const char *
errors_text(struct loaded *loaded)
{
	static char text[16384];
	size_t len = 0, dir_len = strlen(test_dir());

	text[0] = '\0';
	for (const struct tk_settings_error *e = loaded->errors.first; e != NULL; e = e->next) {
		const char *at = e->text, *found;

		len += (size_t)sprintf(text + len, "%s", e->warning ? "warning: " : "");
		while ((found = strstr(at, test_dir())) != NULL) {
			len += (size_t)sprintf(text + len, "%.*sDIR", (int)(found - at), at);
			at = found + dir_len;
		}
		len += (size_t)sprintf(text + len, "%s\n", at);
	}
	return text;
}

/* Loading conf gives exactly these lines, and fails. */
static inline void
expect_errors(const char *conf, const char *lines)
{
	struct loaded loaded;

	load(&loaded, conf, NULL);
	CU_ASSERT_EQUAL(loaded.rc, -EINVAL);
	CU_ASSERT_PTR_NULL(loaded.settings);
	CU_ASSERT(loaded.errors.error_count > 0);
	CU_ASSERT_STRING_EQUAL(errors_text(&loaded), lines);
	if (strcmp(errors_text(&loaded), lines) != 0)
		(void)printf("\n%s\ngave\n%swanted\n%s", conf, errors_text(&loaded), lines);
	unload(&loaded);
}

/* Loading conf succeeds without a word. */
static inline void
expect_loaded(struct loaded *loaded, const char *conf)
{
	load(loaded, conf, NULL);
	CU_ASSERT_EQUAL(loaded->rc, 0);
	CU_ASSERT_STRING_EQUAL(errors_text(loaded), "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(loaded->settings);
}

#endif
