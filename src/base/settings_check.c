/*
 * Completing and checking settings once all are read: paths, listeners, and what involves more than
 * one row.
 *
 * Run by the master.  Looks up nothing but this machine's own name, and opens nothing: whether a
 * folder can be used is found out where it is used.
 */
#include <ctype.h>
#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/settings_private.h"

#define STDERR_WORD  "stderr"
#define NAME_MAX_LEN 64
#define HOST_MAX_LEN 255 /* of a DNS name */

static const struct tk_setting_origin *
origin_named(const struct tk_settings_load *load, const char *path)
{
	const struct tk_setting *row = tk_setting_find(path);

	tk_assert(row != NULL);
	return tk_setting_origin(load->settings, row);
}

/* path without slashes at its end, below base unless absolute. */
static const char *
path_absolute(struct tk_settings_load *load, const char *base, const char *path)
{
	size_t len = strlen(path);
	char *result;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (path[0] == '/')
		result = tk_arena_strndup(load->arena, path, len);
	else
		result = tk_arena_printf(
		    load->arena, "%s/%.*s", strcmp(base, "/") == 0 ? "" : base, (int)len, path);
	load->no_memory = load->no_memory || result == NULL;
	return result;
}

static void
finish_path(struct tk_settings_load *load, const char *name, const char *base, const char **field)
{
	if (**field == '\0')
		tk_settings_error(load, origin_named(load, name), "\"%s\" must not be empty", name);
	else
		*field = path_absolute(load, base, *field);
}

static void
finish_data_directories(struct tk_settings_load *load)
{
	struct tk_strings *dirs = &load->settings->data_directories;
	const struct tk_setting_origin *at = origin_named(load, "data_directories");

	if (dirs->count == 0)
		tk_settings_error(load, at, "\"data_directories\" must name at least one folder");
	for (size_t i = 0; i < dirs->count; i++) {
		finish_path(load, "data_directories", load->settings->prefix, &dirs->items[i]);
		for (size_t j = 0; j < i && !load->no_memory; j++)
			if (strcmp(dirs->items[i], dirs->items[j]) == 0)
				tk_settings_error(load, at,
				    "\"data_directories\" names \"%s\" twice", dirs->items[i]);
		if (!load->no_memory && strcmp(dirs->items[i], load->settings->run_directory) == 0)
			tk_settings_error(load, at,
			    "\"%s\" is both run_directory and a data directory", dirs->items[i]);
	}
}

static void
finish_paths(struct tk_settings_load *load)
{
	struct tk_settings *settings = load->settings;

	finish_path(load, "run_directory", settings->prefix, &settings->run_directory);
	if (load->no_memory)
		return;
	finish_path(load, "pid", settings->run_directory, &settings->pid);
	if (strcmp(settings->error_log, STDERR_WORD) != 0)
		finish_path(load, "error_log", settings->prefix, &settings->error_log);
	else if (settings->daemon)
		tk_settings_error(load, origin_named(load, "daemon"),
		    "\"daemon\" needs \"error_log\" to name a file: in the background nobody reads "
		    "stderr");
	finish_data_directories(load);
}

static bool
name_is_good(const char *name, const char *others, size_t max_len)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && strchr(others, name[i]) == NULL)
			return false;
	return len > 0 && len <= max_len;
}

/* Takes the brackets off an IPv6 address; NULL without memory. */
static const char *
bind_bare(struct tk_settings_load *load, const char *bind)
{
	size_t len = strlen(bind);

	if (len < 2 || bind[0] != '[' || bind[len - 1] != ']')
		return bind;
	bind = tk_arena_strndup(load->arena, bind + 1, len - 2);
	load->no_memory = load->no_memory || bind == NULL;
	return bind;
}

static void
listener_bind(struct tk_settings_load *load, struct tk_listener_settings *listener,
    const struct tk_setting_origin *at)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
		.ai_socktype = SOCK_STREAM };
	const char *written = listener->bind;
	struct addrinfo *info;
	char port[16];

	listener->bind = bind_bare(load, written);
	if (listener->bind == NULL)
		return;
	(void)snprintf(port, sizeof(port), "%d", (int)listener->port);
	if (*listener->bind == '\0' || getaddrinfo(listener->bind, port, &hints, &info) != 0) {
		tk_settings_error(load, at,
		    "\"bind\" must be an IPv4 address or an IPv6 address in brackets, not \"%s\"",
		    written);
		return;
	}
	memcpy(&listener->addr, info->ai_addr, info->ai_addrlen);
	listener->addr_len = info->ai_addrlen;
	freeaddrinfo(info);
}

static bool
addr_is_any(const struct sockaddr_storage *addr)
{
	struct tk_cidr any4, any6;
	int rc = tk_cidr_parse("0.0.0.0/32", &any4) | tk_cidr_parse("::/128", &any6);

	tk_assert(rc == 0);
	return tk_cidr_match(&any4, (const struct sockaddr *)addr) ||
	       tk_cidr_match(&any6, (const struct sockaddr *)addr);
}

static void
listener_advertise(struct tk_settings_load *load, struct tk_listener_settings *listener,
    const struct tk_setting_origin *at)
{
	char host[HOST_MAX_LEN + 1] = "";

	if (listener->advertised_port == 0)
		listener->advertised_port = listener->port;
	if (listener->advertised_host != NULL) {
		listener->advertised_host = bind_bare(load, listener->advertised_host);
		if (listener->advertised_host != NULL &&
		    !name_is_good(listener->advertised_host, "-._:%", HOST_MAX_LEN))
			tk_settings_error(load, at,
			    "\"advertised_host\" must be a name or an address, "
			    "not \"%s\"",
			    listener->advertised_host);
		return;
	}
	listener->advertised_host = listener->bind;
	if (listener->addr_len == 0 || !addr_is_any(&listener->addr))
		return;
	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		(void)snprintf(host, sizeof(host), "localhost");
	listener->advertised_host = tk_arena_strndup(load->arena, host, strlen(host));
	load->no_memory = load->no_memory || listener->advertised_host == NULL;
	tk_settings_warning(load, at,
	    "listener \"%s\" is on every address and has no \"advertised_host\": clients will be "
	    "told "
	    "to connect to \"%s\"",
	    listener->name, host);
}

static void
listener_check_open(struct tk_settings_load *load, const struct tk_listener_settings *listener,
    const struct tk_setting_origin *at)
{
	if (load->settings->allow_anonymous || listener->addr_len == 0 ||
	    tk_addr_is_loopback((const struct sockaddr *)&listener->addr))
		return;
	tk_settings_error(load, at,
	    "listener \"%s\" on \"%s\" would let anybody who reaches this machine read and write "
	    "every "
	    "topic: bind it to 127.0.0.1, or set allow_anonymous = true if this is meant",
	    listener->name, listener->bind);
}

/* Compares with the listeners before it. */
static void
listener_check_unique(
    struct tk_settings_load *load, size_t index, const struct tk_setting_origin *at)
{
	const struct tk_listener_settings *items = load->settings->listeners.items;
	const struct tk_listener_settings *listener = &items[index];

	for (size_t i = 0; i < index; i++) {
		if (strcmp(items[i].name, listener->name) == 0)
			tk_settings_error(
			    load, at, "two listeners are named \"%s\"", listener->name);
		if (listener->addr_len > 0 && items[i].addr_len == listener->addr_len &&
		    memcmp(&items[i].addr, &listener->addr, listener->addr_len) == 0)
			tk_settings_error(load, at,
			    "listeners \"%s\" and \"%s\" have the same address and port",
			    items[i].name, listener->name);
	}
}

static void
finish_listener(struct tk_settings_load *load, size_t index)
{
	struct tk_listener_settings *listener = &load->settings->listeners.items[index];
	const struct tk_setting_origin at = { .file = listener->file, .line = listener->line };

	if (!name_is_good(listener->name, "-._", NAME_MAX_LEN))
		tk_settings_error(load, &at,
		    "\"name\" must have 1 to %d letters, digits, \".\", \"_\" and \"-\", unlike "
		    "\"%s\"",
		    NAME_MAX_LEN, listener->name);
	listener_bind(load, listener, &at);
	if (load->no_memory)
		return;
	listener_advertise(load, listener, &at);
	listener_check_open(load, listener, &at);
	listener_check_unique(load, index, &at);
}

void
tk_settings_finish_listeners(struct tk_settings_load *load)
{
	struct tk_listeners *listeners = &load->settings->listeners;
	const struct tk_setting_origin *at = origin_named(load, "listeners");
	size_t count;
	const struct tk_setting *rows = tk_listener_rows(&count);

	if (listeners->count == 0 && at->file != NULL) {
		tk_settings_error(load, at, "\"listeners\" must hold at least one group");
		return;
	}
	if (listeners->count == 0) {
		listeners->items = tk_arena_calloc(load->arena, 1, sizeof(*listeners->items));
		if (listeners->items == NULL) {
			load->no_memory = true;
			return;
		}
		tk_settings_set_defaults(rows, count, listeners->items);
		listeners->count = 1;
	}
	for (size_t i = 0; i < listeners->count && !load->no_memory; i++)
		finish_listener(load, i);
}

static void
finish_limits(struct tk_settings_load *load)
{
	const struct tk_settings *settings = load->settings;

	if (settings->message_max_bytes > settings->socket_request_max_bytes)
		tk_settings_warning(load, origin_named(load, "message_max_bytes"),
		    "\"message_max_bytes\" is more than \"socket_request_max_bytes\": batches as "
		    "large "
		    "cannot arrive");
	if (settings->flush == TK_FLUSH_INTERVAL && settings->log_flush_interval_ms == INT64_MAX &&
	    settings->log_flush_interval_messages == INT32_MAX)
		tk_settings_warning(load, origin_named(load, "flush"),
		    "\"flush\" is \"interval\", and neither \"log_flush_interval_ms\" nor "
		    "\"log_flush_interval_messages\" says which");
}

void
tk_settings_finish(struct tk_settings_load *load)
{
	finish_paths(load);
	if (!load->no_memory)
		tk_settings_finish_listeners(load);
	finish_limits(load);
}
